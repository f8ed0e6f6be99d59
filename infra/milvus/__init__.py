"""Milvus on Kubernetes."""
