"""The embedded store: one SQLite database in one directory, shared by the processes of one machine."""
