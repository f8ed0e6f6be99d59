"""Runs in the bucket: what the Job beside Milvus puts there, and how they are brought back.

``results.json`` is uploaded last, so a run that has it in the bucket is there in full. What comes
first is when the run began: the newest one that is there in full proves nothing of a stack whose
Job has begun another since.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from validation.across.earlier import Earlier, among
from validation.errors import ConfigurationError
from validation.report.results import Results
from validation.report.store import parse_results, require_readable
from validation.runs.folder import stamp
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.target import Storage, Target

LAST = "results.json"
DECLARED = {
    "milvus": ("deployment", "version", "tls.mode", "wal", "roles"),
    "storage": ("provider", "bucket", "root_path", "versioning", "object_lock", "encryption"),
}
"""What of a declaration a run must have seen, the stack's name before. Addresses are left out: the
Job has those inside the cluster. What else makes a new Job is in the target's ``configuration``."""
RUN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,100}")


def begin(storage: Storage, prefix: str, stack: str) -> None:
    """Write into the bucket that the stack's Job begins a run now."""
    now = stamp()
    with translated(storage):
        connect(storage).put_object(
            Bucket=storage.bucket, Key=_begun_key(prefix, stack), Body=now.encode()
        )


def upload(folder: Path, storage: Storage, prefix: str) -> list[str]:
    """Put a run's folder into the bucket and return the keys.

    Args:
        folder: The run's folder; its name becomes the run's name in the bucket.
        storage: The store.
        prefix: Where runs are kept in the bucket.
    """
    client = connect(storage)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path == folder / LAST)
    keys = []
    with translated(storage):
        for file in files:
            key = f"{prefix}/{folder.name}/{file.relative_to(folder).as_posix()}"
            client.put_object(Bucket=storage.bucket, Key=key, Body=file.read_bytes())
            keys.append(key)
    return keys


def stored_runs(storage: Storage, prefix: str) -> list[str]:
    """Return the names of the runs that are in the bucket in full, oldest first."""
    with translated(storage):
        keys = _keys(connect(storage), storage.bucket, f"{prefix}/")
    ends = f"/{LAST}"
    names = (
        key.removeprefix(f"{prefix}/").removesuffix(ends) for key in keys if key.endswith(ends)
    )
    return sorted(name for name in names if RUN_NAME.fullmatch(name))


def read_all(storage: Storage, prefix: str) -> tuple[list[Results], list[str]]:
    """Return the results of every run in the bucket, and why others are left out.

    Raises:
        ConfigurationError: There is none.
    """
    client, found, left_out = connect(storage), [], []
    for name in stored_runs(storage, prefix):
        try:
            found.append(_results(client, storage, prefix, name))
        except ConfigurationError as error:
            left_out.append(f"{name}: {error.what}")
    if not found:
        raise _none_there(storage, prefix, left_out)
    return found, left_out


def before(storage: Storage, prefix: str, results: Results) -> Earlier:
    """Return the earlier runs in the bucket that may stand beside a run; it judges nothing.

    Raises:
        MilvusKitError: The bucket cannot be listed, or stops answering.
    """
    client = connect(storage)
    names = [name for name in reversed(stored_runs(storage, prefix)) if name != results.run]
    readers = (partial(_results, client, storage, prefix, name) for name in names)
    return among(results, zip(names, readers, strict=True))


def _results(client: Any, storage: Storage, prefix: str, name: str) -> Results:
    key = f"{prefix}/{name}/{LAST}"
    with translated(storage):
        body = _read(client, storage.bucket, key)
    return parse_results(body, where=f"s3://{storage.bucket}/{key}")


def _none_there(storage: Storage, prefix: str, seen: Sequence[str] = ()) -> ConfigurationError:
    return ConfigurationError(
        "there is no run in the bucket",
        where=f"s3://{storage.bucket}/{prefix}/",
        seen=seen or None,
        remedy="set validation.enabled and run `pulumi up`; the Job's log says how far it came",
    )


def fetch(storage: Storage, prefix: str, runs: Path, name: str | None = None) -> Path:
    """Bring a run from the bucket and return its folder.

    Args:
        storage: The store.
        prefix: Where runs are kept in the bucket.
        runs: Where runs are kept here.
        name: The run; the newest if left out.

    Raises:
        ConfigurationError: There is no such run in the bucket, or a file that is too large for one.
    """
    there = stored_runs(storage, prefix)
    if not there:
        raise _none_there(storage, prefix)
    if name is not None and name not in there:
        raise ConfigurationError(
            "there is no such run in the bucket",
            where=f"s3://{storage.bucket}/{prefix}/",
            seen=name,
            remedy=f"its runs are {', '.join(there)}",
        )
    chosen = name or there[-1]
    folder = runs / chosen
    root = f"{prefix}/{chosen}/"
    client = connect(storage)
    with translated(storage):
        keys = sorted(_keys(client, storage.bucket, root), key=lambda key: key == root + LAST)
        for key in keys:
            path = folder / _inside(key.removeprefix(root))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_read(client, storage.bucket, key))
    return folder


def require_last(storage: Storage, prefix: str, stack: str, run: str) -> None:
    """Make sure that no run was begun after the newest one that is there in full.

    Args:
        storage: The store.
        prefix: Where runs are kept in the bucket.
        stack: Whose run it is.
        run: The run's name, which begins with when it began.

    Raises:
        ConfigurationError: One was, which is still under way or did not come through.
    """
    client, key = connect(storage), _begun_key(prefix, stack)
    with translated(storage):
        if key not in _keys(client, storage.bucket, key):  # an earlier release's
            return
        begun = _read(client, storage.bucket, key).decode()
    if begun > run:
        raise ConfigurationError(
            f"the Job began another run at {begun}, which has not come through; the one before it, "
            f"{run}, proves nothing of now",
            where=f"s3://{storage.bucket}/{prefix}/",
            remedy="wait for the Job, or look at its log: `kubectl logs job/milvus-validation`; "
            f"`--run {run}` shows the one before all the same",
        )


def require_of(target: Target, run: str, found: Sequence[dict[str, Any]]) -> None:
    """Make sure that a run validated what is declared now, and not what was before a change.

    A Job that did not come through leaves no run, and the one before it proves nothing any more.

    Args:
        target: What is declared.
        run: The run's name.
        found: The targets in the run's results.

    Raises:
        ConfigurationError: It validated something else; with the first difference.
    """
    declared, seen = _declared(target.document()), [_declared(one) for one in found]
    for key, wanted in declared.items():
        if wanted not in [one[key] for one in seen]:
            raise ConfigurationError(
                f"the newest run in the bucket, {run}, validated another {key} than the stack "
                f"declares, {wanted}",
                where=key,
                seen=seen[0][key] if seen else None,
                remedy="look at the Job's log: its last run did not come through, or another stack "
                f"keeps its runs there too; `--run {run}` shows this one all the same",
            )
    made_of = target.configuration
    if made_of is not None and made_of not in [one.get("configuration") for one in found]:
        raise ConfigurationError(
            f"the newest run in the bucket, {run}, is of another Job than the stack declares: the "
            "rules, the profile, the image or a setting of Milvus have changed since",
            where="configuration",
            seen=found[0].get("configuration") if found else None,
            remedy="look at the Job's log: its last run did not come through; "
            f"`--run {run}` shows this one all the same",
        )


def _declared(document: dict[str, Any]) -> dict[str, Any]:
    """Return what counts of a target's document, by dotted keys."""
    found = {"name": document.get("name")}
    for section, keys in DECLARED.items():
        for key in keys:
            value: Any = document.get(section)
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            found[f"{section}.{key}"] = value
    return found


def _begun_key(prefix: str, stack: str) -> str:
    return f"{prefix}/{stack}.begun"


def _read(client: Any, bucket: str, key: str) -> bytes:
    reply = client.get_object(Bucket=bucket, Key=key)
    require_readable(reply["ContentLength"], where=f"s3://{bucket}/{key}")
    return reply["Body"].read()


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _inside(name: str) -> PurePosixPath:
    """Return a key as a path that stays in the run's folder; the bucket is not ours alone."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigurationError(
            "a run in the bucket has a file with a strange name",
            where=name,
            remedy="look at who else writes to this prefix",
        )
    return path
