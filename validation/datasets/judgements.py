"""Graded judgements, in BEIR's columns or in TREC's."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from pathlib import Path

from validation.datasets.complaints import Complaints
from validation.datasets.lines import text_lines
from validation.errors import DatasetError

HEADER = ("query-id", "corpus-id", "score")
_GRADE = re.compile(r"([+-]?\d{1,9})(?:\.0*)?")
_TREC_COLUMNS = 4

Qrels = dict[str, dict[str, int]]


def judgements(
    path: Path,
    content: bytes,
    queries: AbstractSet[str] | None,
    passages: AbstractSet[str] | None,
    complaints: Complaints,
) -> Qrels:
    """Return grades by query id and passage id.

    BEIR's form is ``query-id``, ``corpus-id`` and ``score`` with a tab between, under a header of
    these names. TREC's is query, iteration, passage and grade with white space between, without a
    header. A grade is a whole number; 1.0 is one. 0 and below are judged and not relevant, as
    trec_eval takes them.

    Args:
        path: The file.
        content: Its bytes.
        queries: Ids of the queries; None if they could not all be read.
        passages: Ids of the passages; the same.
        complaints: Are told of lines that are no judgement.

    Raises:
        DatasetError: The file begins with neither form, or holds no judgement.
    """
    lines = list(text_lines(path, content, complaints))
    if not lines:
        _refuse_none(path, len(content), complaints)
        return {}
    trec = _form(path, lines[0][1]) == "TREC"
    qrels: Qrels = {}
    for number, line in lines if trec else lines[1:]:
        parts = line.split() if trec else line.split("\t")
        wide = [*parts, "", "", "", ""]
        query, passage, grade = (wide[0], wide[2], wide[3]) if trec else wide[:3]
        found = _GRADE.fullmatch(grade.strip())
        if len(parts) != (_TREC_COLUMNS if trec else len(HEADER)) or not found:
            complaints.add(
                path,
                number,
                "a judgement is "
                + ("query, iteration, passage" if trec else "query-id, corpus-id")
                + " and a grade that is a whole number, "
                + ("with spaces between" if trec else "separated by tabs"),
                seen=line,
                remedy="correct or remove the line",
            )
            continue
        for identity, known, what in ((query, queries, "query"), (passage, passages, "passage")):
            if known is not None and identity not in known:
                complaints.add(
                    path,
                    number,
                    f"judgement for a {what} that is not there",
                    seen=identity,
                    remedy=f"remove the judgement or add the {what}",
                )
                break
        else:
            judged = qrels.setdefault(query, {})
            if passage in judged:
                complaints.add(
                    path,
                    number,
                    "a query is judged twice on the same passage",
                    detail=f": query {query}",
                    seen=passage,
                    remedy="keep one of the judgements",
                )
            judged[passage] = int(found[1])
    if not qrels:
        _refuse_none(path, len(content), complaints)
    return qrels


def _form(path: Path, first: str) -> str:
    if tuple(first.split("\t")) == HEADER:
        return "BEIR"
    parts = first.split()
    if len(parts) == _TREC_COLUMNS and _GRADE.fullmatch(parts[-1]):
        return "TREC"
    raise DatasetError(
        "the first line is neither the header query-id, corpus-id, score with tabs between, nor a"
        " judgement in TREC's form: query, iteration, passage, grade",
        where=f"{path}, line 1",
        seen=first,
        remedy="write the header, and separate columns by one tab",
    )


def _refuse_none(path: Path, size: int, complaints: Complaints) -> None:
    if not complaints.about(path):
        raise DatasetError(
            "there are no judgements",
            where=str(path),
            seen=size,
            remedy="relevance cannot be measured without: add lines under the header",
        )
