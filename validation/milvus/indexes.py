"""The indexes that are measured, with the parameters they are built and searched with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from validation.errors import ConfigurationError


@dataclasses.dataclass(frozen=True)
class IndexSpec:
    """One vector index.

    Args:
        kind: Milvus's ``index_type``.
        build: Parameters it is built with.
        search: Parameters it is searched with.
    """

    kind: str
    build: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    search: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data for a report."""
        return {"index": self.kind, "build": dict(self.build), "search": dict(self.search)}


def index_named(kind: str, rows: int = 100_000, *, k: int = 10) -> IndexSpec:
    """Return an index with the parameters this kit measures it with.

    Chosen so that a build on two cores takes seconds and recall is well above what a service asks
    for: IVF with 2 √n clusters, an eighth of them searched (Milvus's guide starts from 4 √n, which
    takes twice as long to build); HNSW with M 16 and efConstruction 128, searched with ef well
    above k; DISKANN with its default list of 100.

    Args:
        kind: FLAT, IVF_FLAT, HNSW or DISKANN.
        rows: How many rows it is for.
        k: How many neighbours will be asked for.

    Raises:
        ConfigurationError: There is no such index here.
    """
    nlist = max(1, min(65_536, 2 * round(math.sqrt(rows))))
    known = {
        "FLAT": IndexSpec("FLAT"),
        "IVF_FLAT": IndexSpec(
            "IVF_FLAT", {"nlist": nlist}, {"nprobe": max(1, min(nlist, max(16, nlist // 8)))}
        ),
        "HNSW": IndexSpec("HNSW", {"M": 16, "efConstruction": 128}, {"ef": max(128, 2 * k)}),
        "DISKANN": IndexSpec("DISKANN", {}, {"search_list": max(100, k)}),
    }
    if kind not in known:
        raise ConfigurationError(
            "there is no such index in this kit", seen=kind, remedy=f"use one of {sorted(known)}"
        )
    return known[kind]
