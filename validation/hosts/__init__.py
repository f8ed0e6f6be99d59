"""The machines that Milvus runs on, looked at: over ssh, in pods, or right here."""
