"""The agent of one host: store -> policy -> dataplane."""
