"""Addresses of containers: blocks, affinities, handles."""
