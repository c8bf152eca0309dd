"""The grammar of calicoctl 1.3, for files of apiVersion v1: everything on standard output."""
