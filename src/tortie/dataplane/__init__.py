"""The wanted state of one host as values, its rendering, and the kernel."""
