"""The life of a segment, followed from the server's own account, and searches during it."""
