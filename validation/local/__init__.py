"""The embedded stack: a real Milvus server and a real S3 store as processes on this host."""
