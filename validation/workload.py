"""What a run loads and asks, made once in a process: datasets and their ground truth.

Everything here follows from the profile alone, so it can be prepared while servers still boot.
"""

from __future__ import annotations

import functools
from pathlib import Path

from validation.datasets.ground_truth import GroundTruth, exact
from validation.datasets.model import Dataset
from validation.profiles import Profile

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
def corpus(folder: Path | None = None) -> Dataset:
    """Return the corpus of passages: a folder of the user's, else the kit's sample data."""
    from validation.datasets.folder import load_folder  # noqa: PLC0415
    from validation.resources import find  # noqa: PLC0415

    return load_folder(folder or find("sample_data"))


def prepare(profile: Profile, corpus_folder: Path | None = None) -> None:
    """Make everything now, so that no check has to wait for it."""
    corpus(corpus_folder)
    truth(profile)
    for share in profile.selectivities:
        truth(profile, share)
