"""The roller: brings the product, its configuration and its units to many hosts, one host at a time."""
