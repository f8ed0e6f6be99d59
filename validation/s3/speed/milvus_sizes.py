"""The sizes of objects that Milvus writes: those it has in a bucket, or else recorded ones."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from statistics import median_high, median_low

from validation.s3.workspace import Workspace

_KINDS = ("insert_log", "delta_log", "stats_log", "index_files", "wp")
_LISTED = 20_000
# Medians of what Milvus 2.3.5 (the server of the Python package milvus) had in its bucket on MinIO
# after 200,000 rows: a vector of 128 dimensions, three integers and booleans and a short text, by
# the kit's own `datasets.generated` and `milvus.loading`; flushed, and indexed with HNSW (M 16).
# These were 35 insert logs from 476 bytes to 33 MB (of vectors 10 to 33 MB), 6 stats logs and 9
# index files. With 60,000 vectors of 768 dimensions the medians were 15 KB, 12 KB and 12 MB.
RECORDED: Mapping[str, int] = {"insert_log": 43_519, "stats_log": 51_198, "index_files": 11_630_550}


@dataclasses.dataclass(frozen=True)
class MilvusSizes:
    """The median size of each kind of object, and where it is from."""

    by_kind: Mapping[str, int]
    source: str

    @property
    def middle(self) -> int:
        """The size in the middle: of the objects for HEAD, LIST and DELETE."""
        return int(median_low(self.by_kind.values()))

    def kinds(self, size: int) -> str:
        """Return which kinds have this size, and where that is from; empty if none has."""
        kinds = [kind for kind, of_kind in self.by_kind.items() if of_kind == size]
        return f"{', '.join(kinds)} of {self.source}" if kinds else ""


def sizes_of(space: Workspace) -> MilvusSizes:
    """Return this bucket's sizes, or the recorded ones if Milvus has none here."""
    found = written_by_milvus(space)
    if found:
        return MilvusSizes(found, "this bucket")
    return MilvusSizes(RECORDED, "a Milvus 2.3.5 elsewhere")


def written_by_milvus(space: Workspace) -> dict[str, int]:
    """Return the median size of each kind of object that Milvus has below the root path.

    Reads one listing and nothing else; a fresh bucket yields nothing.
    """
    root = space.storage.root
    sizes: dict[str, list[int]] = defaultdict(list)
    pages = space.s3.get_paginator("list_objects_v2").paginate(
        Bucket=space.bucket,
        Prefix=f"{root}/" if root else "",
        PaginationConfig={"MaxItems": _LISTED},
    )
    for entry in (entry for page in pages for entry in page.get("Contents", ())):
        kind = entry["Key"].removeprefix(f"{root}/").split("/")[0]
        if kind in _KINDS and entry["Size"]:
            sizes[kind].append(entry["Size"])
    return {kind: int(median_high(found)) for kind, found in sizes.items()}
