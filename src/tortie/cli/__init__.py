"""The programs: tortie, calicoctl."""
