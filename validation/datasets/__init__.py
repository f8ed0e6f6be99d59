"""Datasets: rows, queries and what is known to be true of them."""
