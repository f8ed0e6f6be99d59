"""A proxy between Milvus and its store that injects faults on command, and is transparent else."""
