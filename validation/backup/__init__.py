"""Collections out of a Milvus and into another one, proven by manifests."""
