"""The datastore: one port, its backends, and the typed client on top."""
