"""Acceptance of an S3 store: can it carry Milvus, which log does it allow, and how fast is it."""
