"""The roller's hand on a host: nothing but the standard library, sent there as text and kept nowhere."""
