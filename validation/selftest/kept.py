"""Collections that are loaded once and used by many runs of the suite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from validation.common.progress import Progress
from validation.errors import MilvusKitError
from validation.milvus import loading
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec, index_named
from validation.milvus.loading import Loaded
from validation.milvus.ownership import collection_name, drop_ours
from validation.runs.profiles import Profile
from validation.suite import workload
from validation.target import Target

_RUN = "selftest"


class OneForEach:
    """The generated dataset under every index at once, each in a collection of its own.

    To a check it is what `validation.suite.fixtures.GeneratedCollection` is.
    """

    def __init__(self, each: dict[str, Loaded], first: str) -> None:
        self._each = each
        self.loaded = each[first]
        self.index_seconds = {kind: one.seconds("index") for kind, one in each.items()}

    @property
    def name(self) -> str:
        """Name of the collection that was asked for last."""
        return self.loaded.name

    @property
    def index(self) -> IndexSpec:
        """Its index."""
        return self.loaded.index

    def under(self, kind: str) -> IndexSpec:
        """Return the index of that kind; its collection is in use from now on."""
        self.loaded = self._each[kind]
        return self.index


class Kept:
    """A pytest plugin whose fixtures are collections that are there already.

    Args:
        corpus: The corpus.
        generated: The generated dataset by kind of index; none on a server where it is not used.
        first: The index that a profile begins with.
    """

    def __init__(self, corpus: Loaded, generated: dict[str, Loaded], first: str) -> None:
        self._corpus, self._generated, self._first = corpus, generated, first

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the fixtures after the suite's own, so that they take their place."""
        config.pluginmanager.register(_Fixtures(self), "milvus-kit-kept")

    def corpus(self) -> Loaded:
        """Return the corpus as it was loaded."""
        return self._corpus

    def generated(self) -> OneForEach:
        """Return the generated dataset as it was loaded."""
        return OneForEach(self._generated, self._first)


class _Fixtures:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    @pytest.fixture(scope="session")
    def generated_collection(self) -> OneForEach:
        return self._kept.generated()

    @pytest.fixture(scope="session")
    def corpus_collection(self) -> Loaded:
        return self._kept.corpus()


@contextlib.contextmanager
def kept(target: Target, profile: Profile, progress: Progress) -> Iterator[Kept]:
    """Load what the suite asks for, once; dropped at the end.

    Args:
        target: The server.
        profile: Sizes and indexes; on Milvus Lite the corpus alone is used.
        progress: Shows how far it is.
    """
    dataset, passages = workload.generated(profile), workload.corpus()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(connect(target))

        def load(data: Any, kind: str, **options: Any) -> Loaded:
            name = collection_name(_RUN, data.name, kind)
            stack.callback(_drop, connection, name)
            index = index_named(kind, data.rows, k=workload.K)
            return loading.load(connection, data, name=name, index=index, run=_RUN, **options)

        kinds = () if connection.is_lite else profile.indexes
        with progress.step(f"load what {target.name} is asked for"), ThreadPoolExecutor(4) as pool:
            first = pool.submit(load, passages, "FLAT", keywords=connection.is_lite)
            rest = {kind: pool.submit(load, dataset, kind) for kind in kinds}
            each = {kind: future.result() for kind, future in rest.items()}
            corpus = first.result()
        yield Kept(corpus, each, profile.indexes[0])


def _drop(connection: Connection, name: str) -> None:
    with contextlib.suppress(MilvusKitError):
        drop_ours(connection, name)
