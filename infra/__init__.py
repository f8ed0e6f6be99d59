"""Pulumi programs that stand up Kubernetes, an S3 store and Milvus on it."""
