"""The grammar of calicoctl 0.19: strictly ordered words, messages on standard output."""
