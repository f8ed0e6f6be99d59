#!/usr/bin/env bash
# Milvus 2.3.5 (PyPI package milvus==2.3.5, Linux x86-64), pymilvus 3.0.2, consistency level Strong.
#
# The good guess: once an upsert is acknowledged, a strong read shows the new row, or, if the row is
# deleted meanwhile, no row. The old one is gone.
# Seen: a strong read that is under way while the row is deleted (or upserted again) now and then
# shows the version before the last upsert, which was acknowledged long before the read began. It
# takes a second reader at another consistency level beside it.
# Ends with 1 if no scan of the run shows it, so it tells when this changes. It writes 600 rows to a
# server of its own on loopback, for a minute at most. Needs python3 (3.11), PyPI and openssl's libs.
set -euo pipefail
work=$(mktemp -d) && cd "$work"
python3 -m venv venv && venv/bin/pip install --quiet 'milvus==2.3.5' 'pymilvus==3.0.2' 'setuptools<81'
cat > run.py <<'PYTHON'
import threading
import time

from milvus import MilvusServer
from pymilvus import DataType, MilvusClient

server = MilvusServer(wait_for_started=True)
server.set_base_dir("data")
server.listen_port = 0
server.start()
try:
    client = MilvusClient(f"http://127.0.0.1:{server.listen_port}")
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("version", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    index = MilvusClient.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("rows", schema=schema, index_params=index)

    def rows(keys, version):
        return [{"id": k, "version": version, "vector": [k % 7 + version] * 8} for k in keys]

    scans = wrong = 0
    example = None
    until = time.monotonic() + 50
    round_ = 0
    while wrong < 3 and time.monotonic() < until:
        round_ += 1
        keys = list(range(round_ * 1000, round_ * 1000 + 300))
        client.insert("rows", rows(keys, 1))
        for at in range(0, 300, 5):
            client.upsert("rows", rows(keys[at : at + 5], 2))
        time.sleep(0.3)  # every reader has seen version 2 by now

        def delete():
            for at in range(0, 300, 5):
                client.delete("rows", ids=keys[at : at + 5])
                time.sleep(0.01)

        def scan(level):
            fields = ["id", "version"]
            where = {"filter": f"id >= {keys[0]}", "limit": 2000, "output_fields": fields}
            return client.query("rows", consistency_level=level, **where)

        thread = threading.Thread(target=delete)

        def look_on():
            while thread.is_alive():
                scan("Eventually")

        thread.start()
        other = threading.Thread(target=look_on)
        other.start()
        while thread.is_alive():
            scans += 1
            old = [row for row in scan("Strong") if row["version"] == 1]
            wrong += bool(old)
            example = example or next(iter(old), None)
        other.join()
    print(f"strong scans while rows were deleted: {scans}; with a version upserted away: {wrong}")
    print(f"example: {example}")
finally:
    server.stop()
raise SystemExit(0 if wrong else 1)
PYTHON
status=0
timeout 150 venv/bin/python run.py 2>/dev/null || status=$?
rm -rf "$work"
exit "$status"
