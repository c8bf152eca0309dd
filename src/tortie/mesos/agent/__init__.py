"""The agent: containers of one host."""
