"""A preflight from beginning to end: reach a store, run the checks, decide, tell."""
