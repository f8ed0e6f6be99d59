"""The suite as a Job beside Milvus: run it, and put the run's folder into the bucket.

The Job says only whether the suite has run; the verdict is in the run's ``results.json``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from validation import target as targets
from validation.common.ending import as_by_ctrl_c
from validation.errors import ExitCode, MilvusKitError
from validation.report.store import read_results
from validation.runs import session
from validation.runs.in_bucket import before, begin, upload

JUDGED = (ExitCode.PASS, ExitCode.FAIL, ExitCode.INCONCLUSIVE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and upload its run; 0 once a verdict, of whatever kind, is in the bucket."""
    options = _options(arguments)
    try:
        with as_by_ctrl_c():  # a pod that is deleted gets SIGTERM, and some seconds
            return _run(options)
    except MilvusKitError as error:
        print(f"milvus-kit: {error}", file=sys.stderr)  # noqa: T201  (the Job's log)
        return error.exit_code
    except KeyboardInterrupt:
        print("milvus-kit: interrupted", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    target = targets.load(options.target)
    storage = targets.storage_of(target, where=str(options.target))
    begin(storage, options.prefix, target.name)
    choices = session.Choices(rules=options.rules, profile=options.profile, runs=options.runs)
    code = session.validate(target, choices)
    latest = options.runs / "latest"
    if not latest.exists():
        return int(code) or ExitCode.INTERNAL
    remember(latest.resolve(), storage, options.prefix)
    keys = upload(latest.resolve(), storage, options.prefix)
    print(f"{len(keys)} files in s3://{storage.bucket}/{options.prefix}/")  # noqa: T201
    return ExitCode.PASS if code in JUDGED else int(code)


def remember(folder: Path, storage: targets.Storage, prefix: str) -> None:
    """Show on a run's page how its gates went in the runs before it in the bucket.

    The pod has no other run beside it. A bucket that cannot be read now costs the page that part,
    and the run nothing.
    """
    from validation.across.earlier import keep  # noqa: PLC0415  (beside the next)
    from validation.report import html  # noqa: PLC0415  (charts are slow to import)

    try:
        found = before(storage, prefix, read_results(folder))
        if keep(found, folder):
            html.render(folder)
    except MilvusKitError as error:
        print(f"milvus-kit: the page is without earlier runs: {error.what}", file=sys.stderr)  # noqa: T201


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="in_cluster", description=__doc__)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--rules", type=Path)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--runs", type=Path, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
