"""The ways in which a container runtime asks for a network."""
