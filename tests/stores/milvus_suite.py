"""Milvus 2.3.5 on a store, through the smoke suite with its restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.stores.record import MilvusRun
from validation.s3.client.endpoint import keys_of
from validation.target import Storage

_OF_THE_CLIENT = ("search.", "loading.")
"""Metrics of speed: a full host decides them, not the store's ways."""


def run_milvus(storage: Storage, folder: Path) -> MilvusRun:
    """Start Milvus on a store, run the smoke suite, and say what its gates were."""
    folder.mkdir()
    keys, contract = keys_of(storage), folder / "store.yaml"
    contract.write_text(
        f"provider: {storage.provider}\n"
        f"endpoint: {storage.endpoint}\n"
        f"bucket: {storage.bucket}\n"
        "root_path: trial\n"
        "access_key: {env: STORE_ACCESS}\n"
        "secret_key: {env: STORE_SECRET}\n"
    )
    environment = {**os.environ, "STORE_ACCESS": keys.access, "STORE_SECRET": keys.secret}

    def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from validation.cli import main; main()", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=1_800,
        )

    home = ["--folder", str(folder / "stack")]
    up = kit("local", "up", *home, "--storage", str(contract))
    if up.returncode:
        return MilvusRun(version="", passed=0, failed=(up.stderr[-600:],), undecided=())
    try:
        target = folder / "stack" / "target.yaml"
        done = kit("validate", "--profile", "smoke", "--target", str(target))
        results = sorted((folder / "runs").glob("*/results.json"))
        if not results:
            said = done.stderr[-600:]
            return MilvusRun(version="", passed=0, failed=(said,), undecided=())
        return _judged(json.loads(results[-1].read_text(encoding="utf-8")))
    finally:
        kit("local", "down", *home, "--delete-data")


def _judged(results: dict) -> MilvusRun:
    passed, failed, undecided = 0, [], []
    for gate in results["gates"]:
        rule = gate["rule"]
        if not rule["required"] or rule["metric"].startswith(_OF_THE_CLIENT):
            continue
        if gate["outcome"] == "pass":
            passed += 1
        else:
            (failed if gate["outcome"] == "fail" else undecided).append(gate["gate"])
    (server,) = {one["version"] for one in results["servers"].values()}
    return MilvusRun(
        version=server, passed=passed, failed=tuple(failed), undecided=tuple(undecided)
    )
