"""Runs the suite against one target: pytest over `validation/suite/checks` and a site's folders."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from validation.errors import ExitCode
from validation.report.results import Results, State
from validation.suite import checks
from validation.verdicts.verdict import Outcome

CHECKS = Path(checks.__file__).parent
_PYTEST_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")


@dataclasses.dataclass(frozen=True)
class Suite:
    """What to run and against what.

    Args:
        target_file: The target document.
        rules_file: The rules; checks say with them how their gates stand.
        profile: Name of the profile.
        folder: The run's folder.
        rows: Rows of the generated set, if not the profile's.
        dim: Its dimension, if not the profile's.
        corpus: A folder with a corpus in place of the sample data.
        plan: A plan for the family `load`.
        extra: A site's own checks: folders or files.
        families: Only these families; all if empty.
        quiet: Show no progress.
    """

    target_file: Path
    rules_file: Path
    profile: str
    folder: Path
    rows: int | None = None
    dim: int | None = None
    corpus: Path | None = None
    plan: Path | None = None
    extra: Sequence[Path] = ()
    families: Sequence[str] = ()
    quiet: bool = False

    def arguments(self) -> list[str]:
        """Return pytest's arguments."""
        given = {
            "--milvus-target": self.target_file,
            "--milvus-rules": self.rules_file,
            "--milvus-profile": self.profile,
            "--milvus-run": self.folder,
            "--milvus-rows": self.rows,
            "--milvus-dim": self.dim,
            "--milvus-corpus": self.corpus,
            "--milvus-plan": self.plan,
        }
        return [
            *(str(path) for path in (CHECKS, *self.extra)),
            # The suite's own settings: those of the folder one happens to stand in don't count.
            *("-c", str(CHECKS / "pytest.ini"), f"--rootdir={CHECKS}"),
            *("-p", "no:cacheprovider", "--capture=sys", "--import-mode=importlib"),
            *(f"{key}={value}" for key, value in given.items() if value is not None),
            *(f"--milvus-family={family}" for family in self.families),
            *(["--milvus-quiet"] if self.quiet else []),
        ]


def run_here(suite: Suite, *, plugins: Sequence[object] = ()) -> int:
    """Run the suite in this process, so that what `workload.prepare` made is used.

    Args:
        suite: What to run.
        plugins: Further pytest plugins.

    Returns:
        pytest's exit status; what was found out is in the run's folder.
    """
    import pytest  # noqa: PLC0415  (slow to import)

    with (
        _log(suite).open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        _without(*_PYTEST_VARIABLES),
    ):
        return int(pytest.main(suite.arguments(), plugins=[*plugins]))


@contextlib.contextmanager
def _without(*names: str) -> Iterator[None]:
    """Run without these variables: what is selected must not depend on a shell's settings."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _log(suite: Suite) -> Path:
    path = suite.folder / "logs" / "suite.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def exit_code(results: Results) -> ExitCode:
    """Return the exit code that says what the results say."""
    if results.state is State.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if results.verdict is Outcome.FAIL:
        return ExitCode.FAIL
    if results.state is State.BROKEN:
        return ExitCode.INTERNAL
    return ExitCode.PASS if results.verdict is Outcome.PASS else ExitCode.INCONCLUSIVE
