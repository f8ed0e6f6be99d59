"""A proxy between a client and Milvus that is not seen until a fault is armed."""
