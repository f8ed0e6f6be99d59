"""Read the HDF5 files of ann-benchmarks: ``train``, ``test``, and how they are compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from validation.common.files import checksum
from validation.datasets.checking import checked
from validation.datasets.model import Dataset, Metric, Queries
from validation.errors import DatasetError, MissingToolError

SUFFIXES = (".hdf5", ".h5")
METRICS: dict[str, Metric] = {"euclidean": "L2", "angular": "COSINE", "dot": "IP", "ip": "IP"}
"""Of their attribute ``distance``, those that Milvus's FLOAT_VECTOR has."""


def is_one(path: Path) -> bool:
    """Return whether a path names such a file."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def load(path: Path) -> Dataset:
    """Return the vectors and queries in a file; there are neither texts nor judgements.

    Args:
        path: The file.

    Raises:
        DatasetError: It is no such file, or is compared in a way that is not computed here.
        MissingToolError: h5py is not installed.
    """
    try:
        import h5py  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingToolError(
            "HDF5 files are read with h5py, which is not installed",
            where=str(path),
            remedy="install milvus-kit[hdf5]",
        ) from None
    try:
        with h5py.File(path, "r") as file:
            vectors, asked = (_vectors(file, name, path) for name in ("train", "test"))
            said = file.attrs.get("distance", "")
            distance = said.decode() if isinstance(said, bytes) else str(said)
        digest = checksum(path)
    except OSError as error:
        raise DatasetError(
            f"this is not a whole HDF5 file: {error}",
            where=str(path),
            remedy="download it again, or give a folder; docs/corpus.md shows what is in one",
        ) from None
    if distance.lower() not in METRICS:
        raise DatasetError(
            "the file's attribute `distance` names nothing that is computed here",
            where=str(path),
            seen=distance,
            remedy=f"give a file of dense floats compared by one of {', '.join(METRICS)}",
        )
    dataset = Dataset(
        name=re.sub(r"\W", "_", path.stem, flags=re.ASCII),
        ids=np.arange(len(vectors)),
        vectors=vectors,
        scalars={},
        queries=Queries([str(at) for at in range(len(asked))], asked),
        metric=METRICS[distance.lower()],
        provenance={"source": f"file {path.name}", "sha256": {path.name: digest}},
    )
    return checked(dataset, where=str(path))


def _vectors(file: Any, name: str, path: Path) -> np.ndarray:
    """Return a dataset of the file as vectors."""
    found = file.get(name)
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 2 or found.dtype.kind != "f":  # noqa: PLR2004
        raise DatasetError(
            f"there are no vectors `{name}` of shape (rows, dimensions)",
            where=str(path),
            seen=sorted(file) if found is None else f"{getattr(found, 'dtype', '')} of {shape}",
            remedy="give a file as ann-benchmarks publishes them: train, test, attribute distance",
        )
    return np.ascontiguousarray(found[()], dtype=np.float32)
