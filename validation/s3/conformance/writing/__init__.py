"""How objects come to be: whole, in parts, with checksums, under conditions, in races."""
