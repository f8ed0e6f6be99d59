"""What Milvus stands on besides the object store: etcd and the write-ahead log."""
