"""A run's folder on disk: samples written once, results.json written atomically, read back."""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from validation.errors import ConfigurationError
from validation.files import replacing, write_whole
from validation.report.results import Results
from validation.verdict import Observation

RESULTS = "results.json"
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


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
    if observation.samples_sha256 and path.exists():
        seen = checksum(path)
        if seen != observation.samples_sha256:
            raise ConfigurationError(
                f"the raw samples of {observation.title} are not those that were measured",
                where=str(path),
                seen=f"sha256 {seen[:12]}, written {observation.samples_sha256[:12]}",
                remedy="copy the run's folder again from where it was made",
            )
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            return np.array([float(row["value"]) for row in rows], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as error:
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
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read results: {error.strerror}",
            where=str(path),
            remedy="name a run's folder, such as runs/latest",
        ) from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        at = ".".join(map(str, first["loc"])) or "(document)" if first else ""
        detail = f"{at}: {first['msg']}" if first else "not UTF-8"
        raise ConfigurationError(
            f"these are not results of a schema this version reads: {detail}",
            where=str(path),
            remedy="read them with the version of milvus-kit that wrote them",
        ) from None
