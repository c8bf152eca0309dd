"""Calico v3 resources as values, their keys and their JSON. Pure."""
