"""MinIO, which the kit creates for development stacks."""
