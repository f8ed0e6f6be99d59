"""The one place where a dataset is checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.datasets import names
from validation.datasets.model import Dataset, Metric, norms
from validation.errors import DatasetError

MAX_VARCHAR_BYTES = 65_535
"""Milvus's limit of a VARCHAR, primary keys included; bytes of UTF-8, not characters."""
MAX_DIM = 32_768

LEAST_NORM = 2.0**-62
MOST_NORM = 2.0**62
"""Lengths whose squares are normal float32 numbers, and so are the distances between two such
vectors: a server computes in float32. Beyond, a distance is infinite or zero whatever the rows."""

_UNIT = 1e-3
"""How far from 1 a length may be that is still called unit length: float16 models round to 1e-3."""


def checked(dataset: Dataset, *, where: str) -> Dataset:
    """Return the dataset if it can be loaded and measured with.

    Args:
        dataset: What a loader read or made.
        where: The file or folder it came from, for errors.

    Raises:
        DatasetError: With the file, the row and the value seen.
    """
    if dataset.rows == 0:
        raise DatasetError("there are no rows", where=where, remedy="give a corpus with rows")
    if len(dataset.queries) == 0:
        raise DatasetError(
            "the query set is empty", where=where, remedy="a run without queries measures nothing"
        )
    check_vectors(dataset.vectors, dataset.rows, f"{where}: vectors")
    check_vectors(dataset.queries.vectors, len(dataset.queries), f"{where}: query vectors")
    if dataset.queries.vectors.shape[1] != dataset.dim:
        raise DatasetError(
            f"queries have another dimension than the rows, which have {dataset.dim}",
            where=f"{where}: query vectors",
            seen=dataset.queries.vectors.shape[1],
            remedy="embed both with the same model",
        )
    for vectors, what in ((dataset.vectors, "vectors"), (dataset.queries.vectors, "query vectors")):
        check_lengths(vectors, dataset.metric, f"{where}: {what}")
    _check_ids(dataset.ids, f"{where}: ids")
    _check_ids(dataset.queries.ids, f"{where}: query ids")
    names.check(dataset.scalars, where=f"{where}: columns")
    for name, column in dataset.scalars.items():
        if len(column) != dataset.rows:
            raise DatasetError(
                f"column {name} has {len(column)} values for {dataset.rows} rows",
                where=where,
                remedy="give every row one value of each column",
            )
        if not isinstance(column, np.ndarray):
            _check_sizes(column, dataset, f"{where}: column {name}", "shorten it")
    _check_sizes(dataset.texts or (), dataset, f"{where}: text", "split it into passages")
    _check_qrels(dataset, where)
    return dataset


def why_metric_matters(dataset: Dataset) -> str:
    """Return what a reader should know of the vectors' lengths; empty if they are all one.

    Cosine ignores lengths, inner product and L2 do not: a corpus that is compared otherwise than
    its model was trained for scores lower, and nothing else shows why.
    """
    lengths = norms(dataset.vectors)
    low, high = float(lengths.min()), float(lengths.max())
    if abs(low - 1) <= _UNIT and abs(high - 1) <= _UNIT:
        return ""
    said = f"the vectors are not of unit length ({low:.4g} to {high:.4g}), and "
    if dataset.metric == "COSINE":
        return said + "COSINE ignores their lengths; a model trained for inner products needs IP"
    return said + f"{dataset.metric} counts their lengths; a model trained for cosine needs COSINE"


def check_vectors(vectors: np.ndarray, rows: int, where: str) -> None:
    """Make sure that there is one float32 vector a row, of finite numbers.

    Raises:
        DatasetError: With the row and the value seen.
    """
    if vectors.ndim != 2 or vectors.shape[0] != rows:  # noqa: PLR2004
        raise DatasetError(
            f"expected {rows} vectors, one a row",
            where=where,
            seen=vectors.shape,
            remedy="the order and number of vectors must be those of the ids",
        )
    if vectors.dtype != np.float32:
        raise DatasetError(
            "vectors must be float32",
            where=where,
            seen=str(vectors.dtype),
            remedy="convert them with astype('float32')",
        )
    if not 2 <= vectors.shape[1] <= MAX_DIM:  # noqa: PLR2004
        raise DatasetError(
            f"Milvus takes vectors of 2 to {MAX_DIM:,} dimensions",
            where=where,
            seen=vectors.shape[1],
            remedy="embed with another model",
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        bad = vectors[row][~np.isfinite(vectors[row])][0]
        raise DatasetError(
            f"{int((~finite).sum())} vectors hold a value that is not a finite number",
            where=f"{where}, row {row}",
            seen=float(bad),
            remedy="embed these rows again, or leave them out together with their ids",
        )


def check_lengths(vectors: np.ndarray, metric: Metric, where: str) -> None:
    """Make sure that distances between these vectors can be computed in float32.

    A vector of length zero has no cosine. A length whose square is no normal number in float32
    makes every distance infinite, or the same. For L2 and IP a few short vectors do no harm.

    Args:
        vectors: Finite, shape (n, d).
        metric: How they are compared.
        where: What they are, for errors.

    Raises:
        DatasetError: With the row and its length.
    """
    lengths = norms(vectors)
    cosine = metric == "COSINE"
    empty = np.flatnonzero(lengths == 0)
    if cosine and empty.size:
        raise DatasetError(
            f"{empty.size} vectors are all zeros, so they have no cosine",
            where=f"{where}, row {int(empty[0])}",
            seen=0.0,
            remedy="embed these rows again, or leave them out together with their ids",
        )
    wrong = lengths > MOST_NORM
    if cosine or lengths.max() < LEAST_NORM:
        wrong |= lengths < LEAST_NORM
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DatasetError(
            f"{int(wrong.sum())} vectors have a length whose square float32 cannot hold: a server "
            f"would compute no distance from them (lengths from {LEAST_NORM:.1g} to "
            f"{MOST_NORM:.1g} can be)",
            where=f"{where}, row {row}",
            seen=float(lengths[row]),
            remedy="scale all vectors, of the queries too, to lengths near 1",
        )


def _check_ids(ids: np.ndarray | Sequence[str], where: str) -> None:
    if isinstance(ids, np.ndarray):
        unique, counts = np.unique(ids, return_counts=True)
        doubled = unique[counts > 1]
        if doubled.size:
            raise DatasetError(
                "an id is there twice",
                where=where,
                seen=int(doubled[0]),
                remedy="give every row an id of its own",
            )
        return
    seen: dict[str, int] = {}
    for row, identity in enumerate(ids):
        if not isinstance(identity, str) or not identity:
            raise DatasetError(
                "an id is missing",
                where=f"{where}, row {row + 1}",
                seen=identity,
                remedy="give every row an id of its own",
            )
        if len(identity.encode()) > MAX_VARCHAR_BYTES:
            raise DatasetError(
                f"an id is longer than {MAX_VARCHAR_BYTES} bytes",
                where=f"{where}, row {row + 1}",
                seen=len(identity.encode()),
                remedy="shorten it",
            )
        if identity in seen:
            raise DatasetError(
                f"an id is there twice, first in row {seen[identity] + 1}",
                where=f"{where}, row {row + 1}",
                seen=identity,
                remedy="give every row an id of its own",
            )
        seen[identity] = row


def _check_sizes(values: Sequence[str | None], dataset: Dataset, where: str, remedy: str) -> None:
    """Refuse strings that no VARCHAR holds, all of them at once."""
    sizes = {
        row: len(value.encode())
        for row, value in enumerate(values)
        if value and len(value.encode()) > MAX_VARCHAR_BYTES
    }
    if sizes:
        first = next(iter(sizes))
        shown = ", ".join(str(dataset.ids[row]) for row in list(sizes)[:20])
        raise DatasetError(
            f"longer than {MAX_VARCHAR_BYTES:,} bytes of UTF-8 in {len(sizes)} rows: {shown}",
            where=f"{where} of {dataset.ids[first]}",
            seen=sizes[first],
            remedy=remedy,
        )


def _check_qrels(dataset: Dataset, where: str) -> None:
    if dataset.qrels is None:
        return
    queries, rows = set(dataset.queries.ids), {str(identity) for identity in dataset.ids}
    for query, judged in dataset.qrels.items():
        if query not in queries:
            raise DatasetError(
                "judgements for a query that is not there",
                where=f"{where}: qrels",
                seen=query,
                remedy="remove the judgements or add the query",
            )
        for row in judged:
            if row not in rows:
                raise DatasetError(
                    f"query {query} is judged on a passage that is not in the corpus",
                    where=f"{where}: qrels",
                    seen=row,
                    remedy="remove the judgement or add the passage",
                )
