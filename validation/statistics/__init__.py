"""Figures from raw samples, each with the interval that says how well it is known."""
