"""A site's own checks through the plugin: what becomes of an outcome."""

import io
import json
from datetime import UTC, datetime

import pytest

from tests.waiting import eventually
from validation.common import progress as progress_shown
from validation.common.progress import Progress
from validation.errors import ExitCode
from validation.milvus import loading, ownership
from validation.report.results import State
from validation.runs.folder import assemble
from validation.runs.pytest_run import exit_code
from validation.suite import fixtures
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

TARGET = """
schema: milvus-kit/target/1
name: nowhere
milvus: {uri: "http://127.0.0.1:1"}
"""
RULES = """
schema: milvus-kit/slo/1
rules:
  site.tickets: {metric: site.tickets, max: 3, unit: tickets}
"""


@pytest.fixture
def run(pytester):
    """Run a site's checks and return the results that come of it."""

    def go(checks, *arguments, rules_text=RULES):
        pytester.makepyfile(test_site=checks)
        (pytester.path / "target.yaml").write_text(TARGET)
        (pytester.path / "rules.yaml").write_text(rules_text)
        folder = pytester.path / "run"
        folder.mkdir()
        # Ctrl-C would end the tests themselves.
        start = "runpytest_subprocess" if "KeyboardInterrupt" in checks else "runpytest_inprocess"
        done = getattr(pytester, start)(
            "--milvus-target=target.yaml",
            "--milvus-rules=rules.yaml",
            f"--milvus-run={folder}",
            *arguments,
        )
        found = assemble(
            folder,
            rules.load(pytester.path / "rules.yaml"),
            rules_source="rules.yaml",
            started=datetime.now(UTC),
        )
        return done, found

    return go


def gate(results, name):
    (found,) = [one for one in results.gates if one.gate == name]
    return found


def test_what_is_within_the_rule_passes(run):
    done, results = run("def test_tickets(gate): gate('site.tickets', [2], unit='tickets')")
    done.assert_outcomes(passed=1)
    assert gate(results, "site.tickets").outcome is Outcome.PASS
    assert results.verdict is Outcome.PASS
    assert exit_code(results) is ExitCode.PASS


def test_what_breaks_the_rule_fails_the_test_and_the_run(run):
    done, results = run("def test_tickets(gate): gate('site.tickets', [4], unit='tickets')")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*site.tickets*4 tickets*"])
    assert exit_code(results) is ExitCode.FAIL


def test_a_gate_that_failed_passes_by_a_looser_rule_without_measuring_again(run, pytester):
    _, results = run("def test_tickets(gate): gate('site.tickets', [4], unit='tickets')")
    looser = pytester.path / "looser.yaml"
    looser.write_text(RULES.replace("max: 3", "max: 5"))
    again = assemble(
        pytester.path / "run",
        rules.load(looser),
        rules_source="looser.yaml",
        started=results.started,
    )
    assert (results.verdict, again.verdict) == (Outcome.FAIL, Outcome.PASS)


def test_a_plain_assertion_that_does_not_hold_fails_the_run(run):
    _, results = run(
        """
        def test_tickets(gate):
            gate('site.tickets', [2], unit='tickets')
        def test_something_else(gate):
            assert 1 + 1 == 3
        """
    )
    assert gate(results, "checks.assertions").outcome is Outcome.FAIL
    assert results.verdict is Outcome.FAIL


def test_a_check_that_breaks_off_is_never_a_pass(run):
    _, results = run(
        """
        def test_tickets(gate):
            gate('site.tickets', [2], unit='tickets')
        def test_breaks_off(gate):
            raise RuntimeError('the line is dead')
        """
    )
    assert results.verdict is Outcome.INCONCLUSIVE
    assert "the line is dead" in gate(results, "checks.assertions").reason
    assert exit_code(results) is ExitCode.INCONCLUSIVE


def test_a_gate_whose_check_broke_off_says_why_it_was_not_measured(run):
    _, results = run("def test_tickets(gate): raise RuntimeError('the line is dead')")
    found = gate(results, "site.tickets")
    assert found.outcome is Outcome.NOT_MEASURED
    assert "the line is dead" in found.reason


def test_a_skipped_suite_is_never_a_pass(run):
    _, results = run(
        """
        import pytest
        @pytest.mark.skip(reason='not today')
        def test_tickets(gate): ...
        """
    )
    assert results.verdict is Outcome.INCONCLUSIVE


def test_a_suite_without_tests_is_broken(run):
    _, results = run("")
    assert results.state is State.BROKEN
    assert results.verdict is Outcome.INCONCLUSIVE
    assert exit_code(results) is ExitCode.INTERNAL


def test_a_file_that_cannot_be_collected_breaks_the_run_and_is_named(run):
    _, results = run("import nowhere_to_be_found")
    assert results.state is State.BROKEN
    assert "test_site.py" in results.reason
    assert "nowhere_to_be_found" in results.reason


def test_an_interrupted_run_keeps_what_it_measured_and_does_not_pass(run):
    _, results = run(
        """
        def test_tickets(gate): gate('site.tickets', [2], unit='tickets')
        def test_ctrl_c(gate): raise KeyboardInterrupt
        """
    )
    assert results.state is State.INTERRUPTED
    assert gate(results, "site.tickets").outcome is Outcome.PASS
    assert results.verdict is Outcome.INCONCLUSIVE
    assert exit_code(results) is ExitCode.INTERRUPTED


def test_a_check_that_says_why_it_cannot_measure_is_not_measured(run):
    _, results = run(
        "def test_tickets(gate): gate('site.tickets', unit='tickets', not_measured='no desk')"
    )
    found = gate(results, "site.tickets")
    assert (found.outcome, found.reason) == (Outcome.NOT_MEASURED, "no desk")


def test_a_void_measurement_is_inconclusive(run):
    _, results = run(
        "def test_tickets(gate): gate('site.tickets', [1], unit='tickets', void='client too slow')"
    )
    assert gate(results, "site.tickets").outcome is Outcome.INCONCLUSIVE


def test_an_unknown_metric_is_an_error_not_a_silent_nothing(run):
    _, results = run("def test_tickets(gate): gate('serach.latency', [1])")
    (check,) = results.checks
    assert check.outcome == "error"
    assert "unknown metric" in check.message


def test_families_run_in_their_order_whatever_the_files_say(run):
    _, results = run(
        """
        import pytest
        @pytest.mark.family('limits')
        def test_last(gate): ...
        @pytest.mark.family('identity')
        def test_first(gate): gate('site.tickets', [1], unit='tickets')
        """
    )
    assert [check.title for check in results.checks] == ["test_first", "test_last"]


def test_only_the_wanted_family_runs(run):
    _, results = run(
        """
        import pytest
        @pytest.mark.family('limits')
        def test_last(gate): ...
        @pytest.mark.family('identity')
        def test_first(gate): gate('site.tickets', [1], unit='tickets')
        """,
        "--milvus-family=limits",
    )
    outcomes = {check.title: check.outcome for check in results.checks}
    assert outcomes == {"test_first": "skipped", "test_last": "passed"}


def test_without_a_target_the_plugin_does_nothing(pytester):
    pytester.makepyfile("def test_mine(): ...")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_wrong_target_file_is_a_usage_error_without_a_traceback(pytester):
    pytester.makepyfile("def test_mine(gate): ...")
    (pytester.path / "target.yaml").write_text("schema: milvus-kit/target/1\nnme: x\n")
    done = pytester.runpytest_inprocess("--milvus-target=target.yaml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*target.yaml*", "*nme*"])
    assert "Traceback" not in done.stderr.str()


def test_raw_samples_are_kept_beside_the_part(run, pytester):
    run("def test_tickets(gate): gate('site.tickets', [1, 1], unit='tickets')")
    part = json.loads((pytester.path / "run" / "parts" / "nowhere.json").read_text())
    seen = next(one for one in part["observations"] if one["metric"] == "site.tickets")
    samples = (pytester.path / "run" / seen["samples_file"]).read_text().split()
    assert samples == ["value", "1.0", "1.0"]


def test_a_folder_without_checks_is_refused_because_its_owner_believes_in_it(pytester):
    (pytester.path / "target.yaml").write_text(TARGET)
    (pytester.path / "rules.yaml").write_text(RULES)
    pytester.makepyfile(test_site="def test_tickets(gate): ...")
    (pytester.path / "mine").mkdir()
    (pytester.path / "mine" / "checks_mine.py").write_text("def test_x(gate): assert False")
    done = pytester.runpytest_inprocess(
        "--milvus-target=target.yaml",
        "--milvus-rules=rules.yaml",
        f"--milvus-run={pytester.path}",
        "test_site.py",
        "mine",
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*mine: no check in it*"])


def _of_the_site(pytester, *more):
    (pytester.path / "target.yaml").write_text(TARGET)
    (pytester.path / "rules.yaml").write_text(RULES)
    pytester.makepyfile(test_site="def test_tickets(gate): ...")
    return pytester.runpytest_inprocess(
        "--milvus-target=target.yaml",
        "--milvus-rules=rules.yaml",
        f"--milvus-run={pytester.path / 'run'}",
        *more,
        "test_site.py",
    )


def test_a_sites_checks_that_name_no_family_are_one_of_their_own(pytester):
    _of_the_site(pytester, "--milvus-family=site").assert_outcomes(passed=1)


def test_a_sites_checks_that_no_wanted_family_holds_are_refused(pytester):
    done = _of_the_site(pytester, "--milvus-family=recall")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*test_site.py: all its checks are left out; add --family site*"])


def test_a_broken_teardown_is_not_hidden_by_a_gate_that_failed(run):
    checks = """
        import pytest
        @pytest.fixture
        def desk():
            yield
            raise RuntimeError('the desk is on fire')
        def test_tickets(gate, desk): gate('site.tickets', [4], unit='tickets')
        """
    _, results = run(checks, rules_text=RULES.replace("max: 3", "max: 5"))
    assert [check.outcome for check in results.checks] == ["passed", "error"]
    assert results.verdict is Outcome.INCONCLUSIVE


def test_a_strict_xfail_that_passes_fails_the_run(run):
    _, results = run(
        """
        import pytest
        @pytest.mark.xfail(strict=True)
        def test_tickets(gate): gate('site.tickets', [2], unit='tickets')
        """
    )
    assert results.verdict is Outcome.FAIL


@pytest.fixture
def waiting_load(monkeypatch):
    """Let loading and indexing go on until what they tell has been shown; return what is shown."""
    shown = io.StringIO()
    monkeypatch.setattr(fixtures, "progress", lambda *, quiet: Progress(shown, quiet=quiet))
    monkeypatch.setattr(progress_shown, "SIGN_OF_LIFE_SECONDS", 0.02)
    monkeypatch.setattr(ownership, "drop_ours", lambda *_: None)

    def told(report, detail):
        report(detail)
        eventually(lambda: detail in shown.getvalue())

    def load(_, dataset, *, name, index, run, report):
        assert run
        told(report, f"40 % of {name} loaded")
        return loading.Loaded(name, index, dataset.rows, dataset.ids)

    def reindex(*_, report):
        told(report, "100 of 200 rows indexed")
        return ()

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(loading, "reindex", reindex)
    return shown


LOADING_CHECK = """
    import pytest
    @pytest.fixture(scope="session")
    def connection(): return None
    def test_tickets(gate, generated_collection):
        generated_collection.under("IVF_FLAT")
        gate('site.tickets', [2], unit='tickets')
    """


def test_a_long_load_and_a_long_build_tell_how_far_they_are(run, waiting_load):
    done, results = run(LOADING_CHECK, "--milvus-rows=1024", "--milvus-dim=4")
    done.assert_outcomes(passed=1)
    shown = waiting_load.getvalue().splitlines()
    assert any(
        line.startswith("… nowhere: load 1,024 rows: 40 % of") and " loaded (" in line
        for line in shown
    )
    assert any("… nowhere: index IVF_FLAT: 100 of 200 rows indexed" in line for line in shown)
    assert any(line.startswith("✓ nowhere: load 1,024 rows ") for line in shown)
    assert [phase.name for phase in results.phases] == ["load 1,024 rows", "index IVF_FLAT"]


ANSWERS_CHECK = """
    import numpy as np
    from validation.answers.model import Answers
    from validation.datasets.ground_truth import exact
    from validation.milvus.indexes import index_named
    def test_answers(generated, answers_gate):
        queries = generated.queries.vectors
        truth = exact(generated.vectors, queries, 10)
        answers = Answers(truth.rows, truth.distances, np.full(len(queries), 10))
        for part in (answers.ids, answers.distances):
            part[30] = part[30][[0] * TWICE + list(range(1, 11 - TWICE))]
        assert answers_gate(answers, generated, index_named("FLAT")).overlap[0] == 1
    """
ANSWERS_RULES = """
schema: milvus-kit/slo/1
rules:
  once: {metric: answers.duplicates, max: 0, unit: hits}
  exact: {metric: exact_search.misses, max: 0, unit: neighbours}
"""


@pytest.mark.parametrize(
    ("twice", "outcome", "seen"), [("1", Outcome.PASS, 0), ("3", Outcome.FAIL, 2)]
)
def test_a_site_s_own_check_looks_at_answers_as_the_kit_s_checks_do(run, twice, outcome, seen):
    _, results = run(
        ANSWERS_CHECK.replace("TWICE", twice),
        "--milvus-rows=1024",
        "--milvus-dim=4",
        rules_text=ANSWERS_RULES,
    )
    once = gate(results, "once")
    assert (once.outcome, once.observed) == (outcome, seen)
    assert gate(results, "exact").outcome is Outcome.PASS
    (observed,) = [one for one in results.observations if one.metric == "answers.duplicates"]
    named = [example["query"] for example in observed.evidence["examples"]]
    assert named == ["q30"] * seen
