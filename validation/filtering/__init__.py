"""Filters of every kind, asked of rows of every scalar type, and held against what is right.

`rows` are what is stored, `conditions` what is asked and what is right, `asking` does both to a
collection and compares.
"""
