"""A run's folder on disk: samples written once, results.json written atomically, read back."""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from validation.common.files import checksum, plain_size, replacing, write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.report.results import SCHEMA, Results
from validation.verdicts.verdict import Observation

RESULTS = "results.json"
REPORT = "report.html"
HISTORY = "history.json"
LARGEST_BYTES = 256 << 20
"""A run of a thousand observations has about two MiB of results; what is larger is left unread."""
_LONGEST_STEM = 120


def write_samples(
    folder: Path, observation: Observation, columns: dict[str, np.ndarray | list]
) -> str:
    """Write raw samples beside the results.

    Args:
        folder: The run's folder.
        observation: What they are samples of; it names the file.
        columns: Equally long columns; ``value`` first, in the observation's unit.

    Returns:
        The file's path relative to the folder.

    Raises:
        ValueError: ``value`` is not the first column, or the columns differ in length.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if next(iter(columns), None) != "value" or len(set(lengths.values())) != 1:
        raise ValueError(f"columns must be equally long and start with value, got {lengths}")
    stem = _stem(observation)
    path = folder / "samples" / f"{stem}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stem}.{number}.csv")
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(_plain(column) for column in columns.values()), strict=True))
    return str(path.relative_to(folder))


def _stem(observation: Observation) -> str:
    """Return a file name that any system takes, without its ending; long labels are shortened."""
    whole = f"{observation.target}.{observation.title}"
    stem = re.sub(r"[^A-Za-z0-9@.=,-]+", "-", whole).strip("-.")
    if len(stem) > _LONGEST_STEM:
        stem = f"{stem[:_LONGEST_STEM]}.{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
    return stem


def _plain(column: np.ndarray | list) -> list:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def read_samples(folder: Path, observation: Observation) -> np.ndarray:
    """Return the ``value`` column of an observation's samples, float64, shape (n,).

    Raises:
        ConfigurationError: The file is missing or is not what the results say.
    """
    if observation.samples_file is None:
        return np.empty(0)
    path = folder / observation.samples_file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"the samples of {observation.title} are outside the run's folder",
            where=str(folder / RESULTS),
            seen=observation.samples_file,
            remedy="these results were edited; use the ones that the run wrote",
        )
    if observation.samples_sha256 and path.is_file():
        seen = checksum(path)
        if seen != observation.samples_sha256:
            raise ConfigurationError(
                f"the raw samples of {observation.title} are not those that were measured",
                where=str(path),
                seen=f"sha256 {seen[:12]}, written {observation.samples_sha256[:12]}",
                remedy="copy the run's folder again from where it was made",
            )
    try:
        plain_size(path)
        with path.open(newline="", encoding="utf-8") as stream:
            if next(csv.reader([stream.readline()]), [])[:1] != ["value"]:
                raise ValueError("the first column is not value")  # noqa: TRY301  (as others)
            with warnings.catch_warnings(action="ignore"):  # of a file without any sample
                options = {"delimiter": ",", "quotechar": '"', "comments": None, "ndmin": 1}
                return np.loadtxt(stream, usecols=0, dtype=np.float64, **options)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the raw samples of {observation.title} cannot be read: {error}",
            where=str(path),
            remedy="copy the whole run folder, samples included",
        ) from None


def write_results(folder: Path, results: Results) -> Path:
    """Write results.json, whole or not at all."""
    return write_whole(folder / RESULTS, results.model_dump_json(by_alias=True, indent=1))


def read_results(folder: Path) -> Results:
    """Return the results in a run's folder.

    Raises:
        ConfigurationError: There are none, or they are of another schema.
    """
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        require_readable(plain_size(path), where=str(path))
        text = path.read_bytes()
    except OSError as error:
        if (folder / "rules.slo.yaml").exists() and not path.exists():
            raise _unfinished(folder) from None
        raise ConfigurationError(
            f"cannot read results: {error.strerror}",
            where=str(path),
            remedy="name a run's folder, such as runs/latest",
        ) from None
    return parse_results(text, where=str(path))


def require_readable(size: int, *, where: str) -> None:
    """Make sure that a file is no larger than any of a run's is.

    Raises:
        ConfigurationError: It is.
    """
    if size > LARGEST_BYTES:
        raise ConfigurationError(
            f"a run's files are no larger than {LARGEST_BYTES >> 20} MiB",
            where=where,
            seen=f"{size:,} bytes",
            remedy="it is not what a run wrote; fetch or copy its folder again",
        )


def parse_results(document: bytes, *, where: str) -> Results:
    """Return the results in a document.

    Raises:
        ConfigurationError: They are of another schema.
    """
    try:
        text = document.decode()
        refuse_newer(text, SCHEMA, "run", where=where)
        return Results.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError, RecursionError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        at = ".".join(map(str, first["loc"])) or "(document)" if first else ""
        other = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
        detail = f"{at}: {first['msg']}" if first else other
        raise ConfigurationError(
            f"these are not results of a schema this version reads: {detail}",
            where=where,
            remedy="read them with the version of milvus-kit that wrote them",
        ) from None


def _unfinished(folder: Path) -> ConfigurationError:
    """Return what to say of a run that was killed, or is under way: it has no results."""
    measured = sorted(path.stem for path in (folder / "samples").glob("*.csv"))
    there = f"raw samples of {len(measured)} observations" if measured else "nothing measured"
    embedded = (folder / "stack").is_dir()
    left = (
        f"delete {folder}: the servers that it had started have ended with it"
        if embedded
        else "`milvus-kit clean --target FILE` drops the collections that it left on the server"
    )
    return ConfigurationError(
        f"this run was killed, or is still under way: it has {there} and no {RESULTS}, so there is"
        " nothing to judge",
        where=str(folder),
        seen=measured or None,
        remedy=f"if it was killed: {left}; then run it again",
    )
