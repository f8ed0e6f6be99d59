"""Collections that are loaded, and partly looked at, beside what else goes on.

Milvus's own waits, for flush above all, overlap with those for the generated rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest

from validation.common.progress import Step
from validation.datasets.model import Dataset
from validation.errors import UnsupportedError
from validation.filtering.asking import Asked, Filtered
from validation.milvus import capabilities, loading, searching
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import index_named
from validation.milvus.loading import Loaded
from validation.milvus.ownership import collection_name, dropped
from validation.mutations import acts
from validation.runs.profiles import Profile
from validation.suite import changed, workload
from validation.suite.changed import MutatedCollection, Noted
from validation.suite.plugin import family_of
from validation.target import Target

Result = TypeVar("Result")

EARLY = {
    "corpus_collection": "corpus_loading",
    "mutated": "mutated_loading",
    "filtering": "filtering_loading",
}
"""What is loaded in the background, by the fixture that waits for it."""
ALONE = frozenset({"latency", "load", "living", "attribution", "site", "lifecycle", "limits"})
"""Families that time the server, or restart it: nothing of the run's own goes on beside them."""
_PATIENCE_SECONDS = 30.0


def begin(request: pytest.FixtureRequest) -> list[Future[Any]]:
    """Have everything in the background that a check of this run is going to need."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    return [request.getfixturevalue(early) for needed, early in EARLY.items() if needed in wanted]


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> None:
    if family_of(request.node) in ALONE:
        wait(begin(request))


@pytest.fixture(scope="session")
def corpus_loading(
    target: Target,
    corpus: Dataset,
    stretch: Callable[[str], AbstractContextManager[Step]],
    run_id: str,
) -> Iterator[Future[Loaded]]:
    """The corpus while it is loaded in the background."""
    name = collection_name(run_id, corpus.name)

    def load(connection: Connection) -> Loaded:
        with stretch(f"load {corpus.rows:,} passages") as report:
            reason = _why_no_keywords(connection, corpus, run_id)
            loaded = loading.load(
                connection,
                corpus,
                name=name,
                index=index_named("FLAT"),
                run=run_id,
                keywords=not reason,
                report=report,
            )
        return dataclasses.replace(loaded, no_keywords=reason)

    with in_background(target, name, load) as future:
        yield future


@pytest.fixture(scope="session")
def corpus_collection(corpus_loading: Future[Loaded]) -> Loaded:
    """The corpus, loaded under FLAT, with keywords where the server can; dropped at the end."""
    return corpus_loading.result()


@pytest.fixture(scope="session")
def mutated_loading(
    target: Target,
    profile: Profile,
    stretch: Callable[[str], AbstractContextManager[Step]],
    run_id: str,
) -> Iterator[Future[MutatedCollection]]:
    """Some of the generated rows while they are loaded, changed and looked at meanwhile."""
    plan = workload.mutations(profile)
    made = MutatedCollection(collection_name(run_id, plan.start.name), plan, index_named("FLAT"))

    def load(connection: Connection) -> MutatedCollection:
        with stretch(f"load {plan.start.rows:,} rows and change them") as report:
            acts.begin(
                connection, plan, name=made.name, index=made.index, run=run_id, report=report
            )
            acts.change(connection, plan, made.name)
        with stretch("look at the changed rows"):
            for after in ("changes", "flush"):
                noted = made.noted.setdefault(after, Noted())
                with noted.kept():
                    if after == "flush":
                        loading.flush(connection, made.name)
                    changed.observe(noted, connection, made, after=after)
        return made

    with in_background(target, made.name, load) as future:
        yield future


@pytest.fixture(scope="session")
def mutated(mutated_loading: Future[MutatedCollection]) -> MutatedCollection:
    """A collection under FLAT in which rows were deleted, upserted and inserted again."""
    return mutated_loading.result()


@dataclasses.dataclass(frozen=True)
class Filtering:
    """The collection whose rows are filtered, and what came of its filters so far.

    Args:
        collection: As it is.
        asked: By what had been done before.
        broke_off: Why what is not there was not asked.
    """

    collection: Filtered
    asked: dict[str, Asked]
    broke_off: Exception | None = None

    def whole(self) -> Filtered:
        """Return the collection, of which nothing is lacking.

        Raises:
            Exception: By which storing or indexing it broke off.
        """
        if self.broke_off is not None:
            raise self.broke_off
        return self.collection

    def after(self, done: str) -> Asked:
        """Return what came of the filters then.

        Raises:
            Exception: By which asking broke off before.
        """
        if done not in self.asked and self.broke_off is not None:
            raise self.broke_off
        return self.asked[done]


@pytest.fixture(scope="session")
def filtering_loading(
    target: Target,
    profile: Profile,
    stretch: Callable[[str], AbstractContextManager[Step]],
    run_id: str,
) -> Iterator[Future[Filtering]]:
    """Rows of every scalar type, filtered as they are stored, flushed and indexed meanwhile."""
    name = collection_name(run_id, "filters")

    def load(connection: Connection) -> Filtering:
        with stretch("filter rows of every type"):
            collection = Filtered(connection, name)
            asked: dict[str, Asked] = {}
            try:
                for after, act in (
                    ("insert", lambda: collection.store(run_id)),
                    ("flush", collection.flush),
                    ("index", collection.index),
                ):
                    act()
                    if after in profile.filtered_after:
                        asked[after] = collection.ask()
            except Exception as error:  # noqa: BLE001  (what was asked before it counts as well)
                return Filtering(collection, asked, error)
        return Filtering(collection, asked)

    with in_background(target, name, load) as future:
        yield future


@pytest.fixture(scope="session")
def filtering(filtering_loading: Future[Filtering]) -> Filtering:
    """The collection whose rows are filtered, indexed; dropped at the end."""
    return filtering_loading.result()


def _why_no_keywords(connection: Connection, corpus: Dataset, run: str) -> str:
    """Return why passages cannot be searched by keyword there; empty if they can.

    A server of an unknown version is tried, and so is an analyzer that the corpus asks for.
    """
    if corpus.texts is None:
        return "the corpus has no texts"
    try:
        searching.require_keywords(connection)
    except UnsupportedError as error:
        return error.what
    if corpus.analyzer is not None:
        tried = capabilities.analyzes(connection, corpus.analyzer, run=run)
        return (
            ""
            if tried.available
            else f"the server does not take the corpus's analyzer {dict(corpus.analyzer)}:"
            f" {tried.reason}"
        )
    if connection.version or connection.is_lite:
        return ""
    return capabilities.probe(connection, run=run, only="bm25")["bm25"].reason


@contextmanager
def in_background(
    target: Target, name: str, load: Callable[[Connection], Result]
) -> Iterator[Future[Result]]:
    """Load a collection beside what else goes on, with a connection of its own; drop it at the end.

    Milvus's own waits, for flush above all, overlap with those for the generated rows.
    """
    with (
        connect(target) as connection,
        ThreadPoolExecutor(1) as pool,
        dropped(connection, name),
    ):
        future = pool.submit(load, connection)
        try:
            yield future
        finally:
            connection.unwanted.set()  # whoever needed it has ended, or was told to
            if wait([future], timeout=_PATIENCE_SECONDS).not_done:
                connection.close()  # a server that does not answer: this ends the call
                wait([future])
            connection.unwanted.clear()
