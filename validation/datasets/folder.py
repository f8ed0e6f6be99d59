"""Read a corpus with judged queries from a folder laid out like a BEIR dataset.

    corpus.jsonl    {"_id", "title", "text", "metadata": {column: value}}
    queries.jsonl   {"_id", "text", "sort": paraphrase|exact|filtered,
                     "filter": {column: {op: value}}}
    qrels.tsv       query-id, corpus-id, score (0 to 2), under a header line
    corpus.npy      float32, one vector for each line of corpus.jsonl, in its order
    queries.npy     the same for queries.jsonl
    MANIFEST.json   SHA-256 and size of each file

The bytes that are checked against the manifest are the bytes that are parsed: nothing is read
twice. `sort` and `filter` may be left out, so that a BEIR folder needs only vectors and a manifest
(`milvus-kit corpus manifest`). Every complaint names the file, the line, the value seen and the
next step.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from validation.datasets import metadata
from validation.datasets.manifest import verified
from validation.datasets.model import Column, Dataset, Queries, check_vectors, checked
from validation.errors import DatasetError

FILES = ("corpus.jsonl", "queries.jsonl", "qrels.tsv", "corpus.npy", "queries.npy")
QRELS_HEADER = "query-id\tcorpus-id\tscore"
GRADES = {"0": 0, "1": 1, "2": 2}

Sort = Literal["paraphrase", "exact", "filtered"]


def load_folder(path: Path) -> Dataset:
    """Return the dataset in a folder, compared by cosine.

    A passage's text is its title, a line break and its text: what was embedded and what a keyword
    index is given. Metadata become scalar columns; a list of strings becomes one string, joined by
    spaces; dates stay ISO 8601 strings, whose order is that of time.

    Args:
        path: The folder.

    Raises:
        DatasetError: A file is missing, differs from the manifest, or holds a value that cannot be
            loaded or measured with.
    """
    digests, content = verified(path, FILES)
    corpus = list(_objects(path / "corpus.jsonl", content["corpus.jsonl"]))
    ids = _identities(path / "corpus.jsonl", corpus)
    scalars = metadata.columns(path / "corpus.jsonl", corpus)
    queries = _queries(path, content, scalars)
    qrels = _qrels(path / "qrels.tsv", content["qrels.tsv"], set(queries.ids), set(ids))
    _refuse_unreachable(path, ids, scalars, queries, qrels)
    dataset = Dataset(
        name=re.sub(r"\W", "_", path.resolve().name, flags=re.ASCII),
        ids=ids,
        vectors=_vectors(path / "corpus.npy", content["corpus.npy"], len(ids)),
        scalars=scalars,
        queries=queries,
        metric="COSINE",
        texts=[_passage(path / "corpus.jsonl", line, row) for line, row in corpus],
        qrels=qrels,
        provenance={"source": f"folder {path.resolve().name}", "sha256": digests},
    )
    return checked(dataset, where=str(path))


def _lines(path: Path, content: bytes) -> Iterator[tuple[int, str]]:
    """Yield line numbers, from 1, and lines that are not blank."""
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"the line is not UTF-8 at byte {error.start}",
                where=f"{path}, line {number}",
                seen=raw[error.start : error.start + 8],
                remedy="convert the file, e.g. iconv -f latin1 -t utf-8",
            ) from None
        if line.strip():
            yield number, line


def _objects(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path, content):
        try:
            value = json.loads(line)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DatasetError(
                "the line holds half of a surrogate pair, which is no character",
                where=f"{path}, line {number}",
                seen=line[:40],
                remedy="write the text as UTF-8, without \\ud800 to \\udfff",
            ) from None
        except (ValueError, RecursionError) as error:
            raise DatasetError(
                f"the line is not JSON, perhaps cut short: {error}",
                where=f"{path}, line {number}",
                seen=line[-40:],
                remedy="give one whole JSON object a line",
            ) from None
        if not isinstance(value, dict):
            raise DatasetError(
                "the line is not a JSON object",
                where=f"{path}, line {number}",
                seen=value,
                remedy='give one object a line, such as {"_id": "a1", "text": "..."}',
            )
        yield number, value


def _identities(path: Path, rows: list[tuple[int, dict[str, Any]]]) -> list[str]:
    if not rows:
        raise DatasetError(
            f"the {'query set' if path.name == 'queries.jsonl' else 'corpus'} is empty",
            where=str(path),
            seen=[],
            remedy="it measures nothing: give at least one line",
        )
    lines: dict[str, int] = {}
    for number, row in rows:
        identity = row.get("_id")
        if not isinstance(identity, str) or not identity.strip():
            raise DatasetError(
                "_id is missing, or is not a string",
                where=f"{path}, line {number}",
                seen=identity if "_id" in row else sorted(row),
                remedy="give every line an _id of its own",
            )
        if identity in lines:
            raise DatasetError(
                f"this _id is there already, in line {lines[identity]}",
                where=f"{path}, line {number}",
                seen=identity,
                remedy="give every line an _id of its own",
            )
        lines[identity] = number
    return list(lines)


def _string(path: Path, line: int, row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(
            f"{key} is missing, empty or not a string",
            where=f"{path}, line {line}",
            seen=value if key in row else sorted(row),
            remedy=f"give every line a {key}",
        )
    return value


def _passage(path: Path, line: int, row: dict[str, Any]) -> str:
    text = _string(path, line, row, "text")
    return f"{_string(path, line, row, 'title')}\n{text}" if row.get("title") else text


def _queries(path: Path, content: dict[str, bytes], scalars: dict[str, Column]) -> Queries:
    where = path / "queries.jsonl"
    rows = list(_objects(where, content["queries.jsonl"]))
    ids = _identities(where, rows)
    filters = [
        metadata.filter_of(row.get("filter"), scalars, where=f"{where}, line {line}")
        for line, row in rows
    ]
    sorts = [row.get("sort") for _, row in rows] if any("sort" in row for _, row in rows) else None
    for (line, row), wanted in zip(rows, filters, strict=True):
        if sorts is None:
            break
        sort = row.get("sort")
        if sort not in get_args(Sort) or (sort == "filtered") != (wanted is not None):
            raise DatasetError(
                f"sort must be one of {', '.join(get_args(Sort))}, filtered just where a filter is",
                where=f"{where}, line {line}",
                seen=sort,
                remedy="correct the sort, or leave it out of every line",
            )
    return Queries(
        ids=ids,
        vectors=_vectors(path / "queries.npy", content["queries.npy"], len(ids)),
        texts=[_string(where, line, row, "text") for line, row in rows],
        sorts=cast("list[str] | None", sorts),
        filters=filters if any(filters) else None,
    )


def _qrels(
    path: Path, content: bytes, queries: set[str], ids: set[str]
) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    lines = _lines(path, content)
    _, header = next(lines, (1, ""))
    if header != QRELS_HEADER:
        raise DatasetError(
            "the first line is not the header query-id, corpus-id, score with tabs between",
            where=f"{path}, line 1",
            seen=header,
            remedy="write the header, and separate columns by one tab",
        )
    for number, line in lines:
        where = f"{path}, line {number}"
        query, passage, score = [*line.split("\t"), "", ""][:3]
        if line.count("\t") != QRELS_HEADER.count("\t") or score not in GRADES:
            raise DatasetError(
                "a judgement is query-id, corpus-id and a score of 0, 1 or 2, separated by tabs",
                where=where,
                seen=line,
                remedy="correct or remove the line",
            )
        for identity, known, what in ((query, queries, "query"), (passage, ids, "passage")):
            if identity not in known:
                raise DatasetError(
                    f"judgement for a {what} that is not there",
                    where=where,
                    seen=identity,
                    remedy=f"remove the judgement or add the {what}",
                )
        if passage in qrels.setdefault(query, {}):
            raise DatasetError(
                f"query {query} is judged twice on the same passage",
                where=where,
                seen=passage,
                remedy="keep one of the judgements",
            )
        qrels[query][passage] = GRADES[score]
    if not qrels:
        raise DatasetError(
            "there are no judgements",
            where=str(path),
            seen=len(content),
            remedy="relevance cannot be measured without: add lines under the header",
        )
    return qrels


def _vectors(path: Path, content: bytes, rows: int) -> np.ndarray:
    try:
        vectors = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DatasetError(
            f"this is not a whole NumPy array file: {error}",
            where=str(path),
            seen=content[:8],
            remedy="write it with numpy.save as a float32 array",
        ) from None
    check_vectors(vectors, rows, str(path))
    return np.ascontiguousarray(vectors)


def _refuse_unreachable(
    path: Path,
    ids: list[str],
    scalars: dict[str, Column],
    queries: Queries,
    qrels: dict[str, dict[str, int]],
) -> None:
    """Refuse a relevant passage that the query's own filter excludes: no server could find it."""
    rows = {identity: row for row, identity in enumerate(ids)}
    for query, wanted in zip(queries.ids, queries.filters or (), strict=False):
        if wanted is None:
            continue
        allowed = wanted.mask(scalars)
        for passage, grade in qrels.get(query, {}).items():
            if grade and not allowed[rows[passage]]:
                raise DatasetError(
                    f"query {query} filters by {wanted.expression()}, which excludes a passage "
                    f"judged {grade}",
                    where=f"{path / 'qrels.tsv'}",
                    seen=passage,
                    remedy="judge it 0, or correct the filter or the passage's metadata",
                )
