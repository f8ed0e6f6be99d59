"""A run from beginning to end: its folder, what it keeps, and its place in a bucket."""
