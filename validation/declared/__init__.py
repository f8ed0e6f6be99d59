"""Whether what runs in a cluster is still what was declared, field by field."""
