"""A run that a wrong server would have to pass ends in FAIL, by the gates that faults are about."""

import contextlib

import pytest

from validation.common.progress import Progress
from validation.common.resources import find
from validation.local.stack import EmbeddedStack
from validation.runs.profiles import profile_named
from validation.selftest.bench import Bench, lite_place, proxied
from validation.selftest.faults import FAULTS, FIVE, OTHERS
from validation.selftest.scene import WHOLE
from validation.suite import workload
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SMOKE = profile_named("smoke")
WRONG = {
    "answers.complete": "short-answers",
    "answers.once": "one-row-ten-times",
    "answers.ordered": "reversed-order",
    "answers.scores": "wrong-scores",
    "recall.exact": "in-as-equals",
}
"""The gates of the five, each with the fault that has to turn it red."""

CHANGED = {
    "answers.fields",
    "answers.known",
    "iterator.complete",
    "iterator.once",
    "mutations.back",
    "mutations.count",
    "mutations.stale",
    "partitions.count",
}
"""What the other faults of `OTHERS` turn red besides."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The embedded server and Milvus Lite, each behind a proxy."""
    folder = tmp_path_factory.mktemp("selftest")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedStack(folder / "stack", progress=Progress()))
        yield {
            "milvus": stack.enter_context(proxied(server.target)),
            "lite": stack.enter_context(lite_place(folder / "lite")),
        }


def red(places, server, names, folder):
    """Return the red gates of a whole run in front of which these faults are planted."""
    file = find("stacks/local.slo.yaml")
    workload.prepare(SMOKE)
    bench = Bench(folder, SMOKE, rules.load(file), file, Progress())
    results, struck = bench.run(places[server], WHOLE, [FAULTS[name] for name in names])
    assert not struck.failed
    assert all(struck.times.values())
    assert results.verdict is Outcome.FAIL
    return {gate.gate for gate in results.gates if gate.outcome is Outcome.FAIL}


def on_lite(names):
    return [name for name in names if FAULTS[name].lite]


def test_five_faults_at_once_that_once_passed_fail_by_their_gates(places, tmp_path):
    assert set(WRONG.values()) == set(FIVE)
    assert set(WRONG) <= red(places, "milvus", FIVE, tmp_path)


def test_everything_that_once_passed_fails_at_once_too(places, tmp_path):
    # An answer to another query is told by its scores, which are wrong here for all.
    assert {*WRONG, *CHANGED} <= red(places, "milvus", [*FIVE, *OTHERS], tmp_path)


def test_they_fail_on_milvus_lite_as_well(places, tmp_path):
    names = on_lite([*FIVE, *OTHERS])
    wanted = {gate for gate, name in WRONG.items() if name in names} | CHANGED
    # Lite counts all rows, whatever partition is named.
    assert wanted - {"partitions.count"} <= red(places, "lite", names, tmp_path)
