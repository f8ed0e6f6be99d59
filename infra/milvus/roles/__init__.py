"""Milvus's own pods: which roles a version has, what each reads, how it is deployed."""
