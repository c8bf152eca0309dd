"""The documents, replayed as typed and checked with real packets after every step."""
