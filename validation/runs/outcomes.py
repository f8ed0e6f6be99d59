"""What became of the tests of the suite, as records of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from validation.errors import MilvusKitError
from validation.report.results import Check, State
from validation.verdicts.catalogue import CHECK_METRIC

if TYPE_CHECKING:
    from validation.runs.recorder import Recorder

GATES_DECIDED = pytest.StashKey[bool]()
"""Set on a test that was failed or skipped for its gates. It measured well: how its gates stand is
theirs to say, and may change when the run is judged by other rules."""


def keep_check(
    recorder: Recorder, item: pytest.Item, call: pytest.CallInfo[None], report: Any
) -> None:
    """Keep the outcome of one phase of a test that says something about it."""
    seconds = round(report.duration, 3)
    title = item.name
    decided = call.when == "call" and item.stash.get(GATES_DECIDED, False)
    if report.outcome == "passed" or decided:
        outcome, message = "passed", ""
    elif report.outcome == "skipped":
        outcome, message = "skipped", _skip_reason(report)
    else:
        outcome, message = _failure(call, report)
    recorder.part.checks.append(
        Check(
            id=item.nodeid,
            title=title,
            outcome=outcome,
            seconds=seconds,
            message=message,
            target=recorder.target.name,
        )
    )


def _skip_reason(report: Any) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _failure(call: pytest.CallInfo[None], report: Any) -> tuple[Any, str]:
    """Tell a claim that does not hold from a measurement that broke off."""
    if call.excinfo is None:  # a strict xfail that passed: what was thought broken holds
        return "failed", str(report.longrepr)
    error = call.excinfo.value
    if isinstance(error, MilvusKitError):
        return "error", str(error)
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    held_against = isinstance(error, (AssertionError, pytest.fail.Exception))
    if call.when == "call" and held_against:
        return "failed", message
    return "error", message


def close(recorder: Recorder, exitstatus: int) -> None:
    """Observe whether the checks' own assertions held, and write the part."""
    ended = [check for check in recorder.part.checks if check.outcome in {"passed", "failed"}]
    broken = [float(check.outcome == "failed") for check in ended]
    errors = [check for check in recorder.part.checks if check.outcome == "error"]
    void = None
    if errors and not any(broken):
        first = errors[0].message.splitlines()[0]
        void = f"{len(errors)} checks broke off; first {errors[0].title}: {first}"
    recorder.observe(
        CHECK_METRIC,
        broken,
        columns={"check": [check.id for check in ended]},
        void=void,
        not_measured=None if broken else "no check ran to its end",
    )
    ended_well = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    if recorder.part.state is State.COMPLETE and not ended_well:
        recorder.part.state = State.BROKEN
        recorder.part.reason = recorder.part.reason or _ENDED.get(
            exitstatus, "the suite ended early"
        )
    recorder.write()


_ENDED: dict[int, str] = {
    pytest.ExitCode.NO_TESTS_COLLECTED: "no check was collected",
    pytest.ExitCode.INTERNAL_ERROR: "pytest broke off; logs/suite.log has its traceback",
}


class Endings:
    """Remembers why a session ends early: pytest's exit status alone does not tell.

    Args:
        recorder: Of the session.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the first file that could not be collected."""
        part = self._recorder.part
        if report.failed and not part.reason:
            said = str(report.longrepr).strip().splitlines()
            part.reason = f"cannot collect {report.nodeid}: {said[-1] if said else 'no message'}"

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Keep what was left out, so that a partial run shows as one."""
        for item in items:
            self._recorder.part.checks.append(
                Check(
                    id=item.nodeid,
                    title=item.name,
                    outcome="skipped",
                    seconds=0,
                    message="left out by the selection of this run",
                    target=self._recorder.target.name,
                )
            )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell the user's Ctrl-C from pytest's own interruptions."""
        if excinfo.type is KeyboardInterrupt:
            self._recorder.part.state = State.INTERRUPTED
            self._recorder.part.reason = "interrupted by the user"
