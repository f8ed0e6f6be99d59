"""The fixtures that checks use. Registered by the plugin once a target was given.

A site's own checks have the same: ``target``, ``profile``, ``connection``, ``generated`` and
``corpus`` (datasets), ``generated_collection``, ``corpus_collection``, ``mutated`` and
``filtering`` (loaded),
``gate``, and ``answers_gate`` for whole answers.
"""

from __future__ import annotations

import dataclasses
import functools
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from validation import target as targets
from validation.answers.model import Findings
from validation.common import resources
from validation.common.progress import Progress, Step
from validation.datasets.metadata import without_null
from validation.datasets.model import Dataset
from validation.errors import ConfigurationError
from validation.milvus import capabilities, loading
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec, index_named
from validation.milvus.loading import Loaded
from validation.milvus.manifest import Manifest
from validation.milvus.ownership import collection_name, dropped
from validation.runs.folder import new_run_folder
from validation.runs.profiles import Profile, profile_named
from validation.runs.recorder import Recorder
from validation.suite import answering, background, workload
from validation.suite.planned import planned  # noqa: F401  (a fixture)
from validation.target import Target
from validation.verdicts import rules as rules_files

Result = TypeVar("Result")


def recorder_from_options(option: Any) -> Recorder:
    """Return the recorder that the command line asks for.

    Raises:
        pytest.UsageError: A file named there cannot be used.
    """
    try:
        target = targets.load(Path(option.milvus_target))
        rules_file = Path(option.milvus_rules or resources.rules_file(target.name, target.rules))
        profile = profile_named(
            option.milvus_profile, rows=option.milvus_rows, dim=option.milvus_dim
        )
        folder = option.milvus_run or new_run_folder(Path("runs"), target.name)
        return Recorder(Path(folder), target, profile, rules_files.load(rules_file))
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


def progress(*, quiet: bool) -> Progress:
    """Return progress on the real stderr, whatever pytest captures."""
    return Progress(sys.__stderr__, quiet=quiet)


@pytest.fixture(scope="session")
def target(recorder: Recorder) -> Target:
    """The deployment that is validated."""
    return recorder.target


@pytest.fixture(scope="session")
def profile(recorder: Recorder) -> Profile:
    """Sizes and durations of this run."""
    return recorder.profile


@pytest.fixture(scope="session")
def connection(target: Target, recorder: Recorder) -> Iterator[Connection]:
    """An open connection to Milvus."""
    with connect(target) as opened:
        recorder.part.server = {"version": opened.server_version, "uri": target.milvus.uri}
        yield opened
        if opened.wire.limited:
            limits = {name: dataclasses.asdict(one) for name, one in opened.wire.limited.items()}
            recorder.part.server["limits_the_rate_of"] = limits


@pytest.fixture(scope="session")
def generated(profile: Profile, recorder: Recorder) -> Dataset:
    """The generated dataset."""
    dataset = workload.generated(profile)
    recorder.part.datasets.append(dataset.describe())
    return dataset


@pytest.fixture(scope="session")
def corpus(
    request: pytest.FixtureRequest, recorder: Recorder, connection: Connection, run_id: str
) -> Dataset:
    """The corpus of passages with its judged queries, as this server can hold it."""
    given = request.config.getoption("--milvus-corpus")
    dataset = workload.corpus(Path(given) if given else None)
    if not capabilities.knows_null(connection, run=run_id):
        dataset = without_null(dataset)
    recorder.part.datasets.append(dataset.describe())
    return dataset


@pytest.fixture
def answers_gate(gate: Callable[..., Any]) -> Callable[..., Findings]:
    """A function that looks at whole answers to a dataset's queries; see `answering.hold`."""
    return functools.partial(answering.hold, gate)


@pytest.fixture(scope="session")
def run_id(recorder: Recorder) -> str:
    """Identity of this run: it names the collections that are made for it.

    Two hosts may start a run in the same second, so its time alone is not enough.
    """
    time = recorder.folder.name.removesuffix(f"-{recorder.target.name}").replace("-", "_")
    return f"{time}_{secrets.token_hex(3)}"


@pytest.fixture(scope="session")
def stretch(
    request: pytest.FixtureRequest, recorder: Recorder
) -> Callable[[str], AbstractContextManager[Step]]:
    """Times a stretch of the run for the report, and shows what it is told of it meanwhile.

    The check that happens to need a collection first would show nothing but its own name while it
    waits.
    """
    shown = progress(quiet=bool(request.config.getoption("--milvus-quiet")))

    @contextmanager
    def going_on(name: str) -> Iterator[Step]:
        with recorder.phase(name), shown.step(f"{recorder.target.name}: {name}") as step:
            yield step

    return going_on


class GeneratedCollection:
    """The generated dataset in its collection, under whichever index a check needs.

    Args:
        loaded: As it was loaded, under its first index.
        rebuild: Puts an index in place and returns the seconds of its build.
    """

    def __init__(self, loaded: Loaded, rebuild: Callable[[IndexSpec], float], rows: int) -> None:
        self.loaded = loaded
        self.name = loaded.name
        self.index = loaded.index
        self.index_seconds = {loaded.index.kind: loaded.seconds("index")}
        self._rebuild = rebuild
        self._rows = rows

    def under(self, kind: str) -> IndexSpec:
        """Return the index of that kind, built first if another one is in place."""
        if self.index.kind != kind:
            wanted = index_named(kind, self._rows, k=workload.K)
            self.index_seconds[kind] = self._rebuild(wanted)
            self.index = wanted
        return self.index


@pytest.fixture(scope="session")
def generated_collection(  # noqa: PLR0917  (fixtures are given by name)
    request: pytest.FixtureRequest,
    connection: Connection,
    generated: Dataset,
    profile: Profile,
    stretch: Callable[[str], AbstractContextManager[Step]],
    run_id: str,
) -> Iterator[GeneratedCollection]:
    """The generated dataset, loaded; dropped at the end."""
    background.begin(request)
    name = collection_name(run_id, generated.name)

    def rebuild(wanted: IndexSpec) -> float:
        with stretch(f"index {wanted.kind}") as report:
            phases = loading.reindex(connection, name, wanted, generated, report=report)
        return sum(phase.seconds for phase in phases if phase.name == "index")

    with dropped(connection, name):
        with stretch(f"load {generated.rows:,} rows") as report:
            first = index_named(profile.indexes[0], generated.rows, k=workload.K)
            loaded = loading.load(
                connection, generated, name=name, index=first, run=run_id, report=report
            )
        yield GeneratedCollection(loaded, rebuild, generated.rows)


@pytest.fixture(scope="session")
def manifests() -> dict[str, Manifest]:
    """What each collection held when it was read back in full, by its name."""
    return {}
