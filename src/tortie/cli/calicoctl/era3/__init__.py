"""The grammar of calicoctl 3: results on standard output, failures on standard error."""
