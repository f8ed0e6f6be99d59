"""The highest rate that a server sustains: trials, rounds of them, and what the client could do."""
