#!/usr/bin/env bash
# pymilvus 3.0.2 against Milvus 2.3.5 (PyPI package milvus==2.3.5, Linux x86-64).
#
# The good guess: `create_schema(partition_key_field=..., num_partitions=2)` makes a collection of
# two partitions: both say how rows are spread by the partition key, the first is obeyed, and a
# keyword that a schema does not know is refused.
# Seen: the number is dropped without a word and the server makes its default number of partitions.
# Only `create_collection(..., num_partitions=2)` counts. With 4,000 rows that is segments of some
# 60 rows, below the 1,024 from which Milvus builds an index: whatever was to be measured on indexed
# rows is measured on plain ones, and each flush and load handles tens of segments.
# Ends with 1 if the schema's number counts. Needs python3 (3.11), PyPI and openssl's libs.
set -euo pipefail
work=$(mktemp -d) && cd "$work"
python3 -m venv venv && venv/bin/pip install --quiet 'milvus==2.3.5' 'pymilvus==3.0.2' 'setuptools<81'
cat > run.py <<'PYTHON'
from milvus import MilvusServer
from pymilvus import DataType, MilvusClient

server = MilvusServer(wait_for_started=True)
server.set_base_dir("data")
server.listen_port = 0
server.start()
try:
    client = MilvusClient(f"http://127.0.0.1:{server.listen_port}")

    def partitions(name, of_schema, of_collection):
        schema = MilvusClient.create_schema(partition_key_field="tenant", **of_schema)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tenant", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema, **of_collection)
        return len(client.list_partitions(name))

    asked = {"num_partitions": 2}
    ignored = partitions("in_the_schema", asked, {})
    obeyed = partitions("in_the_collection", {}, asked)
    print(f"num_partitions=2 given to create_schema: {ignored} partitions")
    print(f"num_partitions=2 given to create_collection: {obeyed} partitions")
finally:
    server.stop()
raise SystemExit(0 if ignored != 2 and obeyed == 2 else 1)
PYTHON
status=0
timeout 150 venv/bin/python run.py 2>/dev/null || status=$?
rm -rf "$work"
exit "$status"
