"""The pytest plugin: fixtures for checks, and what becomes of a test's outcome.

A check is an ordinary test. It measures, and hands what it measured to the ``gate`` fixture:

.. code-block:: python

    def test_nearest_neighbours_are_found(gate, searcher, dataset):
        gate("ann_overlap@10", per_query_overlaps, labels={"index": "HNSW"})

After the test its observations are judged by the rules in force: a failed required gate fails the
test, an inconclusive or unmeasured one skips it with the reason. A plain ``assert`` counts as well:
a run with a failed assertion never passes. The plugin does nothing until ``--milvus-target`` is
given, so it is safe to have installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from validation.common.progress import Progress, Step
    from validation.runs.recorder import Recorder

_RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
_PROGRESS: pytest.StashKey[Progress] = pytest.StashKey()
_STEP: pytest.StashKey[Step] = pytest.StashKey()

FAMILIES = (
    *("identity", "hosts", "security", "conformance", "data", "recall", "retrieval", "mutations"),
    *(
        "filters",
        "latency",
        "load",
        "living",
        "ingest",
        "segments",
        "storage",
        "attribution",
        "site",
        "lifecycle",
        "limits",
    ),
)
"""The order in which check families run; what may disturb the server comes last.

``site`` are a site's own checks that name no other.
"""
_OWN_CHECKS = Path(__file__).resolve().with_name("checks")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; they carry the kit's name so as not to meet other plugins'."""
    group = parser.getgroup("milvus-kit", "validation of a Milvus deployment")
    group.addoption("--milvus-target", metavar="FILE", help="target document of the deployment")
    group.addoption(
        "--milvus-rules", metavar="FILE", help="rules to judge by, instead of the target's own"
    )
    group.addoption(
        "--milvus-profile", metavar="NAME", default="smoke", help="smoke, acceptance, soak"
    )
    group.addoption(
        "--milvus-run", metavar="FOLDER", help="the run's folder for samples and results"
    )
    group.addoption("--milvus-rows", metavar="N", type=int, help="rows of the generated set")
    group.addoption("--milvus-dim", metavar="N", type=int, help="its dimension")
    group.addoption("--milvus-corpus", metavar="FOLDER", help="a corpus in place of the sample's")
    group.addoption("--milvus-plan", metavar="FILE", help="a plan for the family load")
    group.addoption("--milvus-quiet", action="store_true", help="show no progress on stderr")
    group.addoption(
        "--milvus-family",
        metavar="NAME",
        action="append",
        default=[],
        choices=FAMILIES,
        help=f"run only this family; may be given again: {', '.join(FAMILIES)}",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the family marker, and the recorder if a target was given."""
    config.addinivalue_line(
        "markers", f"family(name): what a check is about: {', '.join(FAMILIES)}"
    )
    if config.getoption("--milvus-target", default=None):
        from validation.runs import outcomes  # noqa: PLC0415  (they load numpy and pymilvus)
        from validation.suite import background, fixtures  # noqa: PLC0415  (as above)

        recorder = fixtures.recorder_from_options(config.option)
        config.stash[_RECORDER] = recorder
        config.stash[_PROGRESS] = fixtures.progress(quiet=bool(config.getoption("--milvus-quiet")))
        config.pluginmanager.register(outcomes.Endings(recorder), "milvus-kit-endings")
        config.pluginmanager.register(fixtures, "milvus-kit-fixtures")
        config.pluginmanager.register(background, "milvus-kit-background")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the wanted families, in their order."""
    if config.stash.get(_RECORDER, None) is None:
        return
    wanted = config.getoption("--milvus-family")
    chosen = [item for item in items if not wanted or family_of(item) in wanted]
    _require_checks(config, items, chosen)
    left_out = [item for item in items if item not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(chosen, key=lambda item: FAMILIES.index(family_of(item)))


def _require_checks(
    config: pytest.Config, items: list[pytest.Item], chosen: list[pytest.Item]
) -> None:
    """Refuse a folder of which no check is run: its owner believes that it is looked at."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return
    for given in config.args:
        path = Path(str(given).partition("::")[0]).resolve()
        if not any(item.path.resolve().is_relative_to(path) for item in items):
            raise pytest.UsageError(
                f"{given}: no check in it; checks are functions test_... in files test_*.py"
            )
        inside = any(item.path.resolve().is_relative_to(path) for item in chosen)
        if not inside and path != _OWN_CHECKS:
            raise pytest.UsageError(
                f"{given}: all its checks are left out; add --family site, or the family that"
                " they are marked with"
            )


def family_of(item: pytest.Item) -> str:
    """Return the family that a check belongs to."""
    marker = item.get_closest_marker("family")
    if marker is None:
        return "site"
    if marker.args[0] not in FAMILIES:
        raise pytest.UsageError(
            f"{item.nodeid}: unknown family {marker.args[0]!r}; use one of {', '.join(FAMILIES)}"
        )
    return marker.args[0]


@pytest.fixture(scope="session")
def recorder(request: pytest.FixtureRequest) -> Recorder:
    """What collects observations; checks use ``gate`` instead."""
    found = request.config.stash.get(_RECORDER, None)
    if found is None:
        raise pytest.UsageError("these checks need a deployment: give --milvus-target FILE")
    return found


@pytest.fixture
def gate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """A function that records an observation of this test; see `Recorder.observe`."""

    def observe(metric: str, samples: Any = (), **more: Any) -> Any:
        return recorder.observe(metric, samples, check=request.node.nodeid, **more)

    return observe


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Judge what the test observed, once its own body is through."""
    recorder = pyfuncitem.config.stash.get(_RECORDER, None)
    if recorder is None:
        return (yield)
    from validation.errors import UnsupportedError  # noqa: PLC0415

    try:
        outcome = yield
    except UnsupportedError as error:
        pytest.skip(f"not measured: {error.what}")
    verdicts = [verdict for verdict in recorder.verdicts(pyfuncitem.nodeid) if verdict.required]
    red = [verdict for verdict in verdicts if verdict.outcome == "fail"]
    open_ = [verdict for verdict in verdicts if verdict.outcome in {"inconclusive", "not measured"}]
    if red or open_:
        from validation.report.wording import gate_line  # noqa: PLC0415
        from validation.runs.outcomes import GATES_DECIDED  # noqa: PLC0415

        pyfuncitem.stash[GATES_DECIDED] = True
        said = "\n".join(gate_line(verdict) for verdict in red or open_)
        if red:
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Show the check while it runs and how long it took."""
    progress = item.config.stash.get(_PROGRESS, None)
    if progress is None:
        return (yield)
    name = f"{item.config.stash[_RECORDER].target.name}: {_title(item)}"
    with progress.step(name) as step:
        item.stash[_STEP] = step
        return (yield)


def _title(item: pytest.Item) -> str:
    """Return a test's name as a claim in words."""
    name, _, labels = item.name.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" ({labels.rstrip(']')})" if labels else "")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep what became of the test."""
    report: Any = yield
    recorder = item.config.stash.get(_RECORDER, None)
    if recorder is not None and (call.when == "call" or report.outcome != "passed"):
        from validation.common.progress import BAD, GOOD, OPEN  # noqa: PLC0415
        from validation.runs.outcomes import keep_check  # noqa: PLC0415

        keep_check(recorder, item, call, report)
        item.stash[_STEP].ends({"passed": GOOD, "skipped": OPEN}.get(report.outcome, BAD))
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the part, however the session ended."""
    recorder = session.config.stash.get(_RECORDER, None)
    if recorder is not None:
        from validation.runs.outcomes import close  # noqa: PLC0415

        close(recorder, exitstatus)
