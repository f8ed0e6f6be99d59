"""What a run loads and asks, made once in a process: datasets and their ground truth.

Everything here follows from the profile alone, so it can be prepared while servers still boot.
"""

from __future__ import annotations

import functools
from pathlib import Path

from validation.datasets.ground_truth import GroundTruth, exact, exact_under
from validation.datasets.model import Dataset
from validation.mutations.plan import Plan, planned
from validation.runs.profiles import Profile

K = 10
"""Neighbours asked for everywhere: the metrics' names say @10."""


@functools.cache
def generated(profile: Profile) -> Dataset:
    """Return the profile's generated dataset."""
    from validation.datasets.generated import generate  # noqa: PLC0415  (numpy loads when used)

    return generate(profile.rows, profile.dim, queries=profile.queries, seed=profile.seed)


@functools.cache
def truth(profile: Profile, share: float | None = None) -> GroundTruth:
    """Return the exact neighbours of the generated queries.

    Args:
        profile: Names the dataset.
        share: The filter's selectivity; None for all rows.
    """
    from validation.datasets.generated import selecting  # noqa: PLC0415

    dataset = generated(profile)
    mask = None if share is None else selecting(share).mask(dataset.scalars)
    return exact(dataset.vectors, dataset.queries.vectors, K, dataset.metric, mask=mask)


@functools.cache
def mutations(profile: Profile) -> Plan:
    """Return what is done to some of the generated rows."""
    return planned(generated(profile), min(profile.changed_rows, profile.rows))


@functools.cache
def corpus(folder: Path | None = None) -> Dataset:
    """Return the corpus of passages: the user's, else the kit's sample data.

    Args:
        folder: A folder, or an HDF5 file of ann-benchmarks.
    """
    from validation.common.resources import find  # noqa: PLC0415
    from validation.datasets.folder import load_folder  # noqa: PLC0415
    from validation.datasets.sources import ann_benchmarks  # noqa: PLC0415

    if folder is not None and ann_benchmarks.is_one(folder):
        return ann_benchmarks.load(folder)
    return load_folder(folder or find("sample_data"))


def passages_truth(dataset: Dataset, *, filtered: bool) -> GroundTruth:
    """Return the exact neighbours of the corpus's queries, under each query's filter or not."""
    return exact_under(dataset, hits(dataset), dataset.queries.filters if filtered else None)


def hits(dataset: Dataset) -> int:
    """Return how many passages are asked for: one more where a query's own is left out after."""
    return K + (dataset.queries.own is not None)


def prepare(profile: Profile, corpus_folder: Path | None = None) -> None:
    """Make everything now, so that no check has to wait for it."""
    corpus(corpus_folder)
    truth(profile)
    for share in profile.selectivities:
        truth(profile, share)
