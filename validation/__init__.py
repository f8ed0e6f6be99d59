"""Validation of a Milvus deployment: measure first, judge after, keep the evidence."""
