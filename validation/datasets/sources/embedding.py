"""Give a corpus folder its vectors, by a model of sentence-transformers."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from validation.common.files import replacing
from validation.datasets.checking import check_vectors
from validation.datasets.complaints import Complaints
from validation.datasets.folder import CORPUS, QUERIES, QUERY_VECTORS, VECTORS, passage_of
from validation.datasets.lines import objects
from validation.datasets.manifest import read
from validation.errors import DatasetError, MissingToolError, UsageError


@dataclasses.dataclass(frozen=True)
class Embedded:
    """How many vectors were written, and of how many dimensions."""

    passages: int
    queries: int
    dim: int


def embed(folder: Path, model: str) -> Embedded:
    """Write a corpus's ``corpus.npy`` and ``queries.npy``, one vector for each line.

    What is embedded of a passage is what a keyword index is given: title, line break, text. Both
    files are written, or none.

    Args:
        folder: With ``corpus.jsonl`` and ``queries.jsonl``.
        model: Name of a model, or a folder that holds one.

    Raises:
        DatasetError: A line is wrong.
        MissingToolError: sentence-transformers is not installed.
        UsageError: There is no such model.
    """
    complaints = Complaints(folder)
    passages = [
        passage_of(folder / CORPUS, row, complaints)
        for row in objects(folder / CORPUS, read(folder / CORPUS), complaints)
    ]
    queries = [
        _text(folder / QUERIES, row, complaints)
        for row in objects(folder / QUERIES, read(folder / QUERIES), complaints)
    ]
    complaints.check()
    for texts, file in ((passages, CORPUS), (queries, QUERIES)):
        if not texts:
            raise DatasetError(
                "there is nothing to embed", where=str(folder / file), remedy="give it lines"
            )
    loaded = _model(model)
    made = {}
    for texts, file, ways in (
        (passages, VECTORS, ("encode_document", "encode")),
        (queries, QUERY_VECTORS, ("encode_query", "encode")),
    ):
        # Some models put other words before a question than before a passage.
        encode: Any = next(getattr(loaded, way) for way in ways if hasattr(loaded, way))
        vectors = np.asarray(encode(texts, convert_to_numpy=True), dtype=np.float32)
        check_vectors(vectors, len(texts), f"what {model} makes of {file}")
        made[file] = vectors
    try:
        with contextlib.ExitStack() as both:
            for file, vectors in made.items():
                partial = both.enter_context(replacing(folder / file))
                with partial.open("wb") as out:
                    np.save(out, vectors)
    except OSError as error:
        raise DatasetError(
            f"cannot write the vectors: {error.strerror}",
            where=str(folder),
            remedy="make the folder writable, or copy it",
        ) from None
    return Embedded(len(passages), len(queries), made[VECTORS].shape[1])


def _text(path: Path, row: tuple[int, dict[str, Any]], complaints: Complaints) -> str:
    number, given = row
    text = given.get("text")
    if isinstance(text, str) and text.strip():
        return text
    complaints.add(
        path,
        number,
        "text is missing, empty or not a string",
        seen=text if "text" in given else sorted(given),
        remedy="give every line a text",
    )
    return ""


def _model(name: str) -> Any:
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError:
        raise MissingToolError(
            "texts are embedded with sentence-transformers, which is not installed",
            where="corpus embed",
            remedy="install milvus-kit[embed]",
        ) from None
    try:
        return library.SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the model cannot be loaded: {str(error).splitlines()[0][:300]}",
            where="--model",
            seen=name,
            remedy="give a folder that holds a model, or the name of one that can be downloaded",
        ) from None
