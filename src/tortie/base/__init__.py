"""Errors, clocks, addresses and small values that every room shares."""
