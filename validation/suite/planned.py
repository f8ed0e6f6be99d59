"""What the family `load` asks, and of what: the user's plan, or plain searches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from validation.common.progress import Step
from validation.datasets.generated import generate
from validation.datasets.model import Dataset
from validation.datasets.room import require_room
from validation.errors import UnsupportedError
from validation.load.plans import files, prepared
from validation.load.plans.model import STANDARD, TENANT, LoadPlan
from validation.milvus import loading, searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec, index_named
from validation.milvus.ownership import collection_name, dropped
from validation.runs.profiles import Profile
from validation.runs.recorder import Recorder
from validation.suite import workload


@dataclasses.dataclass(frozen=True)
class Planned:
    """A plan whose rows are loaded and whose requests are ready.

    Args:
        plan: What is asked.
        index: What searches go through.
        prepared: The requests.
    """

    plan: LoadPlan
    index: IndexSpec
    prepared: prepared.Prepared


@pytest.fixture(scope="module")
def planned(  # noqa: PLR0917  (fixtures are given by name)
    request: pytest.FixtureRequest,
    connection: Connection,
    profile: Profile,
    recorder: Recorder,
    run_id: str,
    stretch: Callable[[str], AbstractContextManager[Step]],
) -> Iterator[Planned]:
    """The plan of the load; rows are loaded for it alone if it writes, or says which rows."""
    if not profile.sustained_rounds:
        pytest.skip("this profile looks for no sustained rate; choose --profile acceptance")
    given = request.config.getoption("--milvus-plan")
    plan = STANDARD if given is None else files.load(Path(given))
    if not plan.own_rows:
        collection: Any = request.getfixturevalue("generated_collection")
        index = collection.under(profile.indexes[-1])
        yield _ready(connection, plan, workload.generated(profile), collection.name, index)
        return
    if plan.by_keyword:
        try:
            searching.require_keywords(connection)
        except UnsupportedError as error:
            pytest.skip(f"not measured: {error.what}")
    if plan.data.corpus:
        dataset: Dataset = request.getfixturevalue("corpus")
    else:
        rows, dim = plan.data.rows or profile.rows, plan.data.dim or profile.dim
        require_room(rows, dim)
        made = generate(rows, dim, queries=profile.queries, seed=profile.seed)
        dataset = prepared.with_tenants(made, plan.data.tenants)
        recorder.part.datasets.append(dataset.describe())
    rows = dataset.rows
    usual = index_named(plan.index.kind or profile.indexes[-1], rows, k=workload.K)
    index = dataclasses.replace(
        usual,
        build={**usual.build, **plan.index.build},
        search={**usual.search, **plan.index.search},
    )
    name = collection_name(run_id, "plan")
    with dropped(connection, name):
        with stretch(f"load {rows:,} rows for {plan.name}") as report:
            loading.load(
                connection,
                dataset,
                name=name,
                index=index,
                run=run_id,
                keywords=plan.by_keyword,
                partition_key=TENANT if plan.data.tenants else "",
                report=report,
            )
        yield _ready(connection, plan, dataset, name, index)


def _ready(
    connection: Connection, plan: LoadPlan, dataset: Dataset, name: str, index: IndexSpec
) -> Planned:
    return Planned(plan, index, prepared.prepare(connection, plan, dataset, name, index))
