"""Fuzzing of everything that reads what other people and programs wrote: `python -m tests.fuzz --help`."""
