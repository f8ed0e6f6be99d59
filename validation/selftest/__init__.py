"""Planted faults: the suite has to turn red for each of them, and only where it should."""
