"""Read a corpus with judged queries from a folder laid out like a BEIR dataset.

    corpus.jsonl    {"_id", "title", "text", "metadata": {column: value}}
    queries.jsonl   {"_id", "text", "sort": paraphrase|exact|filtered,
                     "filter": {column: {op: value}}}
    qrels.tsv       query-id, corpus-id, score, under a header line; or qrels/test.tsv, as BEIR
                    has it, or whatever corpus.yaml names
    corpus.npy      float32, one vector for each line of corpus.jsonl, in its order
    queries.npy     the same for queries.jsonl
    corpus.yaml     what the corpus says of itself, if it says anything: see `declared`
    MANIFEST.json   SHA-256 and size of each file

The bytes that are checked against the manifest are the bytes that are parsed: nothing is read
twice. Complaints name the file, the line, the value seen and the next step, all of them at once.
"""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from validation.datasets import metadata
from validation.datasets.checking import MAX_VARCHAR_BYTES, check_vectors, checked
from validation.datasets.complaints import Complaints
from validation.datasets.declared import FILE as DECLARATION
from validation.datasets.declared import Declared, declared
from validation.datasets.judgements import Qrels, judgements
from validation.datasets.lines import Row, identities, objects
from validation.datasets.manifest import found, read, verified
from validation.datasets.model import Column, Dataset, Filter, Queries
from validation.errors import DatasetError

CORPUS, QUERIES = "corpus.jsonl", "queries.jsonl"
VECTORS, QUERY_VECTORS = "corpus.npy", "queries.npy"
QRELS, SPLIT = "qrels.tsv", "qrels/test.tsv"

Sort = Literal["paraphrase", "exact", "filtered"]


def files_of(path: Path) -> tuple[str, ...]:
    """Return the files that make up a corpus folder, as paths from there.

    Raises:
        DatasetError: It is unclear which judgements are meant, or ``corpus.yaml`` is wrong.
    """
    there = (path / DECLARATION).exists()
    said = declared(path / DECLARATION, read(path / DECLARATION)) if there else Declared()
    own = (DECLARATION,) if there else ()
    return (CORPUS, QUERIES, _qrels_of(path, said), VECTORS, QUERY_VECTORS, *own)


def _qrels_of(path: Path, said: Declared) -> str:
    """Return the file of the judgements, as a path from the folder."""
    if said.qrels is not None:
        return said.qrels.as_posix()
    found = [name for name in (QRELS, SPLIT) if (path / name).exists()]
    if len(found) > 1:
        raise DatasetError(
            f"there are judgements in {QRELS} and in {SPLIT}",
            where=str(path),
            seen=found,
            remedy=f"say in {DECLARATION} which are meant, such as `qrels: {SPLIT}`",
        )
    others = sorted(one.relative_to(path).as_posix() for one in path.glob("qrels/*.tsv"))
    if not found and others:
        raise DatasetError(
            f"there is no {SPLIT}",
            where=str(path),
            seen=others,
            remedy=f"say in {DECLARATION} which judgements are meant, such as `qrels: {others[0]}`",
        )
    return found[0] if found else QRELS


def load_folder(path: Path, *, vouched: bool = True) -> Dataset:
    """Return the dataset in a folder.

    A passage's text is its title, a line break and its text: what was embedded and what a keyword
    index is given. Metadata become scalar columns; a list of strings becomes one string, joined by
    spaces; dates stay ISO 8601 strings, whose order is that of time.

    Args:
        path: The folder.
        vouched: Whether the files have to be those of the manifest.

    Raises:
        DatasetError: A file is missing, differs from the manifest, or holds a value that cannot be
            loaded or measured with.
    """
    names = files_of(path)
    digests, content = (verified if vouched else found)(path, names)
    said = (
        declared(path / DECLARATION, content[DECLARATION]) if DECLARATION in names else Declared()
    )
    complaints = Complaints(path)
    corpus = objects(path / CORPUS, content[CORPUS], complaints)
    ids = identities(path / CORPUS, corpus, complaints, most=MAX_VARCHAR_BYTES)
    texts = [passage_of(path / CORPUS, row, complaints) for row in corpus]
    scalars = metadata.columns(path / CORPUS, corpus, complaints)
    known = None if complaints.about(path / CORPUS) else scalars
    queries = _queries(path / QUERIES, content[QUERIES], known, complaints)
    qrels_file = path / _qrels_of(path, said)
    qrels = judgements(
        qrels_file,
        content[_qrels_of(path, said)],
        None if complaints.about(path / QUERIES) else set(queries.ids),
        None if complaints.about(path / CORPUS) else set(ids),
        complaints,
    )
    complaints.check()
    _refuse_unreachable(qrels_file, ids, scalars, queries, qrels)
    queries = dataclasses.replace(
        queries,
        vectors=_vectors(path / QUERY_VECTORS, content[QUERY_VECTORS], len(queries)),
        own=_own(qrels_file, said, set(ids), queries, qrels),
    )
    if qrels_file.parent != path:  # a split of BEIR's, whose queries are those that it judges
        queries = _judged(queries, qrels)
    dataset = Dataset(
        name=re.sub(r"\W", "_", path.resolve().name, flags=re.ASCII),
        ids=ids,
        vectors=_vectors(path / VECTORS, content[VECTORS], len(ids)),
        scalars=scalars,
        queries=queries,
        metric=said.metric,
        analyzer=said.analyzer_params,
        texts=texts,
        qrels=qrels,
        provenance={
            "source": f"folder {path.resolve().name}",
            "identical_ids_ignored": sum(one is not None for one in queries.own or ()),
            "sha256": digests,
        },
    )
    return checked(dataset, where=str(path))


def passage_of(path: Path, row: Row, complaints: Complaints) -> str:
    """Return a passage's text; one that has a title alone is a passage as well."""
    number, given = row
    parts = []
    for key in ("title", "text"):
        value = given.get(key)
        if isinstance(value, str):
            parts += [value] if value.strip() else []
        elif value is not None:
            complaints.add(
                path, number, f"{key} is not a string", seen=value, remedy="write it as a string"
            )
            return ""
    if not parts:
        complaints.add(
            path,
            number,
            "there is neither a text nor a title",
            seen=sorted(given),
            remedy="give every line a text, or leave the line out together with its vector",
        )
    return "\n".join(parts)


def _queries(
    path: Path, content: bytes, scalars: dict[str, Column] | None, complaints: Complaints
) -> Queries:
    """Return the queries, as yet without vectors; without filters if the columns are unknown."""
    rows = objects(path, content, complaints)
    ids = identities(path, rows, complaints, most=MAX_VARCHAR_BYTES)
    filters: list[Filter | None] = [None] * len(rows)
    if scalars is not None:
        filters = [metadata.filter_of(row, scalars, path, complaints) for row in rows]
    sorted_ = any("sort" in row for _, row in rows)
    texts = []
    for number, row in rows:
        text = row.get("text")
        if not isinstance(text, str) or not text.strip():
            complaints.add(
                path,
                number,
                "text is missing, empty or not a string",
                seen=text if "text" in row else sorted(row),
                remedy="give every line a text",
            )
        texts.append(text)
        sort = row.get("sort")
        if sorted_ and (
            sort not in get_args(Sort) or (sort == "filtered") != (row.get("filter") is not None)
        ):
            complaints.add(
                path,
                number,
                f"sort must be one of {', '.join(get_args(Sort))}, filtered just where a filter is",
                seen=sort,
                remedy="correct the sort, or leave it out of every line",
            )
    return Queries(
        ids=ids,
        vectors=np.empty((len(ids), 0), np.float32),
        texts=texts,
        sorts=cast("list[str]", [row.get("sort") for _, row in rows]) if sorted_ else None,
        filters=filters if any(filters) else None,
    )


def _own(
    path: Path, said: Declared, ids: set[str], queries: Queries, qrels: Qrels
) -> list[str | None] | None:
    """Return the passage of the same id for each query that has one, which is no answer to it.

    BEIR's evaluation leaves it out, since there such a query is that very passage. Ids that are the
    same by chance are told by a judgement that says the opposite.
    """
    own = [query if query in ids else None for query in queries.ids]
    if not any(own) or said.ignore_identical_ids is False:
        return None
    wanted = [one for one in own if one is not None and qrels.get(one, {}).get(one, 0) > 0]
    if wanted and said.ignore_identical_ids is None:
        raise DatasetError(
            f"{sum(one is not None for one in own)} queries share their id with a passage. BEIR's"
            " evaluation leaves a query's own passage out of its answer, but here"
            f" {len(wanted)} are judged relevant to the query of their id",
            where=str(path),
            seen=wanted[0],
            remedy=f"say in {DECLARATION} `ignore_identical_ids: false` if the ids are the same by"
            " chance, or `true` to leave these passages out",
        )
    return own


def _judged(queries: Queries, qrels: Qrels) -> Queries:
    """Return the queries that are judged: BEIR keeps those of every split in one file."""
    kept = [at for at, query in enumerate(queries.ids) if query in qrels]
    return queries if len(kept) == len(queries) else queries.taken(kept)


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
    path: Path, ids: list[str], scalars: dict[str, Column], queries: Queries, qrels: Qrels
) -> None:
    """Refuse relevant passages that their query's own filter excludes: no server could find them.

    Raises:
        DatasetError: With all of them.
    """
    rows = {identity: row for row, identity in enumerate(ids)}
    lost: list[tuple[str, Filter, str, int]] = []
    for query, wanted in zip(queries.ids, queries.filters or (), strict=False):
        if wanted is None:
            continue
        allowed = wanted.mask(scalars)
        lost += [
            (query, wanted, passage, grade)
            for passage, grade in qrels.get(query, {}).items()
            if grade > 0 and not allowed[rows[passage]]
        ]
    if lost:
        query, wanted, passage, grade = lost[0]
        more = "".join(f", {query}: {passage}" for query, _, passage, _ in lost[1:20])
        raise DatasetError(
            f"query {query} filters by {wanted.expression()}, which excludes a passage "
            f"judged {grade}" + (f"; {len(lost)} in all{more}" if more else ""),
            where=str(path),
            seen=passage,
            remedy="judge it 0, or correct the filter or the passage's metadata",
        )
