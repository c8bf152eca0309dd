"""Tortie: an IP address for every container and a policy for every conversation."""

__version__ = "0.1.0"
