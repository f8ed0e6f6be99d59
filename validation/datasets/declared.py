"""What a corpus says of itself in its ``corpus.yaml``, which may be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from validation.common import strict_yaml
from validation.datasets.model import Metric
from validation.errors import ConfigurationError, DatasetError

FILE = "corpus.yaml"
ANALYZERS = ("standard", "english", "chinese")
"""What Milvus calls by a name of its own; other names are those of tokenizers."""
SCHEMA = "milvus-kit/corpus/1"
_REMEDY = "docs/corpus.md shows what it may say; leave the file out for the defaults"


class Declared(BaseModel):
    """How a corpus is to be read and compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["milvus-kit/corpus/1"] = Field(default=SCHEMA, alias="schema")
    metric: Metric = Field(default="COSINE", description="how its vectors are compared")
    qrels: Path | None = Field(
        default=None, description="file of the judgements, seen from the folder"
    )
    ignore_identical_ids: bool | None = Field(
        default=None,
        description="leave a query's own passage, the one of the same id, out of its answer;"
        " BEIR's evaluation does",
    )
    analyzer: str | dict[str, Any] | None = Field(
        default=None,
        description="how the server splits texts into words: english, chinese, icu, …, or"
        " Milvus's own analyzer_params",
    )

    @property
    def analyzer_params(self) -> dict[str, Any] | None:
        """The analyzer as Milvus takes it; None for the kit's own."""
        if isinstance(self.analyzer, str):
            return {"type" if self.analyzer in ANALYZERS else "tokenizer": self.analyzer}
        return self.analyzer


def declared(path: Path, content: bytes) -> Declared:
    """Return what a corpus says of itself.

    Args:
        path: Of its ``corpus.yaml``, for errors.
        content: Its bytes.

    Raises:
        DatasetError: It is no such document.
    """
    try:
        document: dict[str, Any] = strict_yaml.parse(content, path, "corpus file", remedy=_REMEDY)
        found = Declared.model_validate(document)
    except ConfigurationError as error:
        raise DatasetError(
            error.what, where=error.where, seen=error.seen, remedy=error.remedy
        ) from None
    except ValidationError as error:
        raise DatasetError(
            f"these keys cannot be used:{strict_yaml.wrong_keys(error)}",
            where=str(path),
            remedy=_REMEDY,
        ) from None
    if found.qrels and (found.qrels.is_absolute() or ".." in found.qrels.parts):
        raise DatasetError(
            "the judgements have to lie in the corpus's own folder",
            where=f"{path}: qrels",
            seen=str(found.qrels),
            remedy="copy them there, and give their path from there, such as qrels/test.tsv",
        )
    return found
