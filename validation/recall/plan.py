"""What is asked of a collection: which queries, how many neighbours, with which parameters."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.errors import DatasetError, UsageError

MAX_QUERIES = 10_000
MAX_K = 16_384
"""Milvus's largest limit of a search."""
_STEPS = 7

Value = int | float | str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked.

    Args:
        queries: How many rows are drawn as queries; or a file of vectors, float32 of shape (q, d).
        k: Number of neighbours.
        params: Search parameters that are measured in any case.
        sweep: Name of a parameter and the values that it takes in turn; None for those that suit
            the index, no values for none.
        condition: Filter of every search, in Milvus's filter language.
        fields: Output fields of every search.
        want: The recall that is to be held; None if none is.
        seed: Of the draw.
    """

    queries: int | Path = 200
    k: int = 10
    params: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    sweep: tuple[str, Sequence[Value]] | None = None
    condition: str = ""
    fields: tuple[str, ...] = ()
    want: float | None = None
    seed: int = 20_240_501

    def __post_init__(self) -> None:
        if not 0 < self.k < MAX_K:
            raise UsageError(
                f"Milvus returns at most {MAX_K:,} hits, and one more than k is asked for",
                where="-k",
                seen=self.k,
                remedy=f"give 1 to {MAX_K - 1}",
            )
        if self.want is not None and not 0 < self.want <= 1:
            raise UsageError(
                "a recall is a share", where="--want", seen=self.want, remedy="give 0.95, or 1"
            )

    def points(self, index: str, build: Mapping[str, Any]) -> list[dict[str, Value]]:
        """Return the parameters that are measured: those given, then those of the sweep."""
        name, values = self.sweep or sweep_of(index, build, self.k)
        swept = [{**self.params, name: value} for value in values]
        return [dict(self.params), *(one for one in swept if one != self.params)]


def plan_of(
    queries: str,
    *,
    k: int,
    params: Iterable[str],
    sweep: str | None,
    condition: str,
    fields: Iterable[str],
    want: float | None,
    seed: int,
) -> Plan:
    """Return the plan that the options of a command line make; see `Plan`.

    Args:
        queries: A number of rows, or a file.
        k: Number of neighbours.
        params: Each as ``NAME=VALUE``.
        sweep: ``NAME=V,V,...``; ``none`` for none; None for what suits the index.
        condition: Filter.
        fields: Output fields.
        want: The recall that is to be held.
        seed: Of the draw.

    Raises:
        UsageError: One of them cannot be used.
    """
    swept: tuple[str, Sequence[Value]] | None = None
    if sweep == "none":
        swept = ("", ())
    elif sweep is not None:
        name, values = _parameter(sweep, "--sweep")
        swept = (name, [_value(one) for one in values.split(",")])
    return Plan(
        queries=_queries(queries),
        k=k,
        params={name: _value(text) for name, text in (_parameter(p, "--param") for p in params)},
        sweep=swept,
        condition=condition.strip(),
        fields=tuple(fields),
        want=want,
        seed=seed,
    )


def _queries(text: str) -> int | Path:
    if not text.isdecimal():
        return Path(text)
    if not 0 < int(text) <= MAX_QUERIES:
        raise UsageError(
            "so many rows cannot be asked with",
            where="--queries",
            seen=text,
            remedy=f"give 1 to {MAX_QUERIES:,}, or a file",
        )
    return int(text)


def _parameter(text: str, option: str) -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``.

    Raises:
        UsageError: It is not of that form.
    """
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise UsageError(
            "this is no search parameter",
            where=option,
            seen=text,
            remedy=f"write it as {option} ef=64"
            if option == "--param"
            else "write --sweep ef=16,64",
        )
    return name.strip(), value.strip()


def _value(text: str) -> Value:
    """Return a number, if it is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def sweep_of(index: str, build: Mapping[str, Any], k: int) -> tuple[str, Sequence[Value]]:
    """Return the parameter that trades recall for time in an index, and values from cheap to dear.

    Those of graphs are at least the hits that are asked for, k and one more, and double. Those of
    clusters start at one cluster and stop at half of all, beyond which exhaustive search is as
    cheap.
    """
    kind = index.upper().removeprefix("GPU_")
    least = max(4, k.bit_length())
    doubling = [2**power for power in range(least, least + _STEPS)]
    if kind.startswith("HNSW"):
        return "ef", doubling
    if kind == "DISKANN":
        return "search_list", doubling
    if kind == "CAGRA":
        return "itopk_size", [max(32, -(-one // 32) * 32) for one in doubling]
    if kind.startswith(("IVF_", "SCANN")):
        clusters = int(build.get("nlist", 128))
        counts = itertools.takewhile(lambda one: one <= max(1, clusters // 2), _powers(4))
        return "nprobe", list(counts)
    return "", []


def _powers(base: int) -> itertools.accumulate[int]:
    return itertools.accumulate(itertools.repeat(base), lambda one, more: one * more, initial=1)


def vectors_in(path: Path, dim: int) -> np.ndarray:
    """Return the vectors in a file, float32, shape (q, d).

    Raises:
        DatasetError: The file is no array of such vectors.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DatasetError(
            f"this is not a whole NumPy array file: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            remedy="write it with numpy.save, one query a row",
        ) from None
    if found.ndim != 2 or found.shape[1] != dim or not len(found) or found.dtype.kind != "f":  # noqa: PLR2004
        raise DatasetError(
            f"the collection's vectors have {dim:,} dimensions, one query a row",
            where=str(path),
            seen=f"{found.dtype} of shape {found.shape}",
            remedy="give floats of shape (queries, dimensions), embedded with the same model",
        )
    return np.ascontiguousarray(found, dtype=np.float32)
