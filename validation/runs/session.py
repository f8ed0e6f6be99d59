"""A run from beginning to end: prepare, run the suite on each target, judge, publish, say it."""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from validation import target as targets
from validation.common import resources
from validation.common.naming import require_known
from validation.common.progress import Progress
from validation.datasets.room import require_room
from validation.errors import (
    ConfigurationError,
    ExitCode,
    MeasurementError,
    MilvusKitError,
)
from validation.load.plans import files as plans
from validation.report.results import Phase, State
from validation.runs import pytest_run as suite
from validation.runs.folder import assemble, new_run_folder, publish, read_parts
from validation.runs.profiles import Profile, profile_named
from validation.runs.pytest_run import Suite
from validation.suite import workload
from validation.suite.plugin import FAMILIES
from validation.target import Target
from validation.verdicts import rules as rules_files
from validation.verdicts.catalogue import CATALOGUE
from validation.verdicts.verdict import Rule

LOCAL_RULES = "stacks/local.slo.yaml"

TRY_FAMILIES = tuple(
    one
    for one in FAMILIES
    if one
    not in {
        *("hosts", "security", "conformance", "attribution"),
        *("load", "living", "ingest", "segments"),
    }
)
"""What `try` leaves out: it is about a store of one's own or takes its time, and `try` a minute."""

LITE_FAMILIES = ("identity", "retrieval")
"""What the second target of `try` is for: keyword and hybrid search on the corpus."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chose on the command line.

    Args:
        rules: Rules file; the target's own if left out.
        profile: Name of the profile.
        rows: Rows of the generated set, if not the profile's.
        dim: Its dimension, if not the profile's.
        corpus: A corpus in place of the sample data.
        plan: A plan for the family `load`, in place of plain searches.
        checks: Folders with a site's own checks.
        families: Only these families; all if empty.
        metric: Judge the rules of this metric alone, as required ones; all rules if empty.
        runs: Where runs are kept.
        verbose: Print every gate at the end.
    """

    rules: Path | None = None
    profile: str = "acceptance"
    rows: int | None = None
    dim: int | None = None
    corpus: Path | None = None
    plan: Path | None = None
    checks: tuple[Path, ...] = ()
    families: tuple[str, ...] = ()
    metric: str = ""
    runs: Path = Path("runs")
    verbose: bool = False

    def resolved_profile(self) -> Profile:
        """Return the profile with the user's sizes."""
        return profile_named(self.profile, rows=self.rows, dim=self.dim)

    def check(self) -> None:
        """Make sure that what was named is there, before anything starts.

        Raises:
            ConfigurationError: A family or a folder of checks is not.
        """
        require_known(self.families, FAMILIES, what="family of checks", option="--family")
        if self.plan is not None:
            plans.load(self.plan)
        for path in self.checks:
            if not path.exists():
                raise ConfigurationError(
                    "there are no checks",
                    where=f"--checks {path}",
                    remedy="name a folder or file with pytest tests",
                )

    def judged(self, rules: list[Rule], rules_file: Path) -> list[Rule]:
        """Return the rules that the run is judged by.

        Raises:
            ConfigurationError: There is none for the metric that was asked for.
        """
        if not self.metric:
            return rules
        mine = [rule for rule in rules if rule.metric == self.metric]
        if not mine:
            known = CATALOGUE[self.metric]
            side = "min" if known.better == "higher" else "max"
            raise ConfigurationError(
                f"no rule says what {self.metric} has to be",
                where=str(rules_file),
                remedy=f"add one, such as `my.gate: {{metric: {self.metric}, {side}: 100, unit: "
                f"{known.unit}}}`",
            )
        return [rule.model_copy(update={"required": True}) for rule in mine]

    def suite(self, target_file: Path, rules_file: Path, folder: Path) -> Suite:
        """Return the suite that these choices ask for."""
        return Suite(
            target_file=target_file,
            rules_file=rules_file,
            profile=self.profile,
            folder=folder,
            rows=self.rows,
            dim=self.dim,
            corpus=self.corpus,
            plan=plans.copied(self.plan, folder) if self.plan else None,
            extra=self.checks,
            families=self.families,
        )


@dataclasses.dataclass
class Run:
    """A run while it is made."""

    folder: Path
    started: datetime
    rules: list[Rule]
    rules_file: Path
    progress: Progress
    code: ExitCode = ExitCode.INTERNAL
    only: str = ""
    verbose: bool = False

    @property
    def rules_source(self) -> str:
        """Where the rules came from, and if they are not all that stand there."""
        return self.rules_file.name + (f", {self.only} alone" if self.only else "")

    @property
    def rules_copy(self) -> Path:
        """The rules as they were when the run began: editing the file meanwhile changes nothing."""
        return self.folder / "rules.slo.yaml"

    def run_suite(self, asked: Suite) -> None:
        """Run the suite on one target; what it found out is in the run's folder.

        Raises:
            KeyboardInterrupt: The user interrupted it; its part is kept.
            MeasurementError: It ended without saying what it found out.
        """
        before = len(read_parts(self.folder))
        status = suite.run_here(asked)
        parts = read_parts(self.folder)
        if any(part.state is State.INTERRUPTED for part in parts):
            raise KeyboardInterrupt
        if len(parts) == before:
            raise MeasurementError(
                f"the suite ended before it measured anything (pytest's exit status {status})",
                where=str(asked.target_file),
                remedy=f"read {self.folder / 'logs' / 'suite.log'}; is there space on the disk?",
            )


def validate(target: Target, choices: Choices) -> ExitCode:
    """Run the suite on a target that is there.

    Raises:
        UnreachableError: Milvus does not answer; nothing was written.
        ConfigurationError: A file or option cannot be used; nothing was written.
    """
    from validation.milvus import objects  # noqa: PLC0415  (boto3 is slow to import)
    from validation.milvus.connection import connect  # noqa: PLC0415  (pymilvus is slow to import)

    choices.check()
    progress = Progress()
    rules_file = choices.rules or resources.rules_file(target.name, target.rules)
    rules = choices.judged(rules_files.load(rules_file), rules_file)
    profile = choices.resolved_profile()
    require_room(profile.rows, profile.dim)
    progress.say(f"rules: {rules_file}")
    with progress.step(f"connect to {target.name}"), connect(target):
        pass
    if target.storage is not None:
        with progress.step(f"look into bucket {target.storage.bucket}"):
            objects.require_bucket(target.storage)
    _prepare(profile, choices, progress)
    with judged_run(target.name, rules, rules_file, choices.runs, progress) as run:
        run.only, run.verbose = choices.metric, choices.verbose
        target_file = run.folder / "target.yaml"
        targets.save(target, target_file)
        run.run_suite(choices.suite(target_file, run.rules_copy, run.folder))
    return run.code


def try_here(choices: Choices, *, keep: bool) -> ExitCode:
    """Start the embedded stack, run the suite on it and on Milvus Lite, stop everything.

    Args:
        choices: What the user chose.
        keep: Keep the servers' data with the run.
    """
    from validation.local.lite import lite_target  # noqa: PLC0415  (only where servers are run)
    from validation.local.stack import EmbeddedStack  # noqa: PLC0415

    progress = Progress()
    rules_file = choices.rules or resources.find(LOCAL_RULES)
    rules, profile = rules_files.load(rules_file), choices.resolved_profile()
    require_room(profile.rows, profile.dim, servers=choices.runs)
    with judged_run("local", rules, rules_file, choices.runs, progress) as run:
        run.verbose = choices.verbose
        stack = EmbeddedStack(run.folder / "stack", progress=progress)
        prepared = _in_background(lambda: _prepare(profile, choices, progress))
        try:
            with stack:
                prepared()
                target_file = stack.folder / "target.yaml"
                asked = choices.suite(target_file, run.rules_copy, run.folder)
                run.run_suite(dataclasses.replace(asked, families=TRY_FAMILIES))
            if stack.target.milvus.deployment != "lite":
                lite_file = stack.folder / "local-lite.yaml"
                targets.save(lite_target(stack.folder), lite_file)
                asked = choices.suite(lite_file, run.rules_copy, run.folder)
                run.run_suite(dataclasses.replace(asked, families=LITE_FAMILIES))
        finally:
            put_away(run.folder, keep=keep)
    return run.code


@contextmanager
def judged_run(
    name: str, rules: list[Rule], rules_file: Path, runs: Path, progress: Progress
) -> Iterator[Run]:
    """Make a run's folder; at the end, however it comes, judge and publish what was measured."""
    run = Run(new_run_folder(runs, name), datetime.now(UTC), rules, rules_file, progress)
    shutil.copyfile(rules_file, run.rules_copy)
    interrupted = False
    error: Exception | None = None
    try:
        yield run
    except KeyboardInterrupt:
        interrupted = True
    except OSError as broken:
        error = _about_a_file(broken, run.folder)
    except Exception as broken:  # noqa: BLE001  (whatever it is, what was measured is kept)
        error = broken
    measured = bool(read_parts(run.folder))
    if measured:
        run.code = _finish(
            run, interrupted=interrupted, broken=getattr(error, "what", str(error)) if error else ""
        )
    elif {path.name for path in run.folder.iterdir()} <= {run.rules_copy.name, "target.yaml"}:
        shutil.rmtree(run.folder)
    if error is not None:
        raise error
    if interrupted and not measured:
        raise KeyboardInterrupt


_OF_A_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def _about_a_file(error: OSError, folder: Path) -> Exception:
    """Return what a user can mend; an error of a socket is none of those and stays what it is."""
    if error.filename is None and error.errno not in _OF_A_DISK:
        return error
    return MilvusKitError(
        f"a file of the run cannot be read or written: {error.strerror or error}",
        where=str(error.filename or folder),
        remedy="free some space or name another place with --runs, then run it again",
    )


def _finish(run: Run, *, interrupted: bool, broken: str) -> ExitCode:
    from rich.console import Console  # noqa: PLC0415  (slow to import)

    from validation.report.terminal import print_summary  # noqa: PLC0415

    with run.progress.step("judge and write the report"):
        results = assemble(
            run.folder,
            run.rules,
            rules_source=run.rules_source,
            started=run.started,
            phases=[Phase(name=n, started=s, seconds=t) for n, s, t in run.progress.phases],
            interrupted=interrupted,
            broken=broken,
        )
        publish(results, run.folder)
    print_summary(results, run.folder, Console(), verbose=run.verbose)
    return suite.exit_code(results)


def _prepare(profile: Profile, choices: Choices, progress: Progress) -> None:
    with progress.step("prepare data and exact neighbours"):
        workload.prepare(profile, choices.corpus)


def _in_background(work: Callable[[], None]) -> Callable[[], None]:
    """Start work in a thread; return what waits for it and raises what it raised."""
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future.result


def put_away(folder: Path, *, keep: bool) -> None:
    """Keep the servers' logs with the run; their data go unless they are wanted."""
    stack = folder / "stack"
    for log in sorted((stack / "logs").glob("*.log")):
        (folder / "logs").mkdir(exist_ok=True)
        shutil.copyfile(log, folder / "logs" / log.name)
    if not keep:
        shutil.rmtree(stack, ignore_errors=True)
