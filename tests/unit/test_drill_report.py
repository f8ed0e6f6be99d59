"""What a reader sees of a drill: what each fault came to, why, and what to do."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.console import Console

from validation.common.resources import find
from validation.drill import faults
from validation.drill.findings import Findings
from validation.drill.runner import PROFILE, RULES, _close, observe, observe_nothing
from validation.report.html import render
from validation.report.terminal import print_summary
from validation.runs.folder import assemble, publish
from validation.runs.recorder import Recorder
from validation.target import Milvus, Target
from validation.verdicts import rules
from validation.verdicts.catalogue import CATALOGUE

WHY = "it never recovered: load static: not done within 15 s"


@pytest.fixture
def shown(tmp_path):
    """Return terminal and page of a drill: one fault survived, one not, and one not met."""
    in_force = rules.load(find(RULES))
    target = Target(name="drill", milvus=Milvus(uri="http://127.0.0.1:1"))
    recorder = Recorder(tmp_path, target, PROFILE, in_force)
    good = Findings(
        seconds_to_recover=3.0,
        lost=0.0,
        unexpected=0.0,
        wrong=np.zeros(500),
        failed=np.zeros(30),
        overlaps={"live": np.ones(400), "static": np.ones(400)},
        evidence={"story": "downloads are reset", "requests_that_met_it": 34},
    )
    away = Findings(
        wrong=np.zeros(9),
        failed=np.zeros(9),
        evidence={"story": "no byte passes", "requests_that_met_it": 1},
        reasons={"drill.seconds_to_recover": WHY},
        unknown="live: it cannot be loaded",
    )
    for name, found in (("reset", good), ("stopped", away)):
        observe(recorder, faults.FAULTS[name], found, check=f"drill::{name}")
    observe_nothing(recorder, faults.FAULTS["truncated"], "no request met it", check="drill::t")
    _close(recorder)
    results = assemble(
        tmp_path,
        in_force,
        rules_source="drill.slo.yaml",
        started=datetime.now(UTC),
        phases=[],
        interrupted=False,
        broken="",
    )
    publish(results, tmp_path)
    stream = io.StringIO()
    print_summary(results, tmp_path, Console(file=stream, width=200))
    return stream.getvalue(), render(tmp_path).read_text(encoding="utf-8")


def test_how_much_of_milvus_s_traffic_met_a_fault_is_said_beside_it(shown):
    terminal, page = shown
    assert "✓ reset: met by 34 requests; downloads are reset" in terminal
    assert "✗ stopped: met by 1 request; no byte passes" in terminal
    assert "? truncated: not met" in terminal
    assert "<strong>reset</strong>: met by 34 requests; downloads are reset" in page


def test_a_recovery_that_never_came_is_called_so_and_names_the_step_that_failed(shown):
    for text in shown:
        assert f"{WHY}; observed never, the rule is ≤ 60 s" in text
        assert "no answer" not in text


def test_what_to_do_is_another_thing_for_each_metric():
    drills = [one for name, one in CATALOGUE.items() if name.startswith("drill.")]
    assert len({one.remedy for one in drills}) == len(drills)
