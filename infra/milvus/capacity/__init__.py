"""How many pods of each role, and how large."""
