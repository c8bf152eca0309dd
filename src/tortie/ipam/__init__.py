"""Addresses: blocks that hosts claim, and single addresses out of them."""
