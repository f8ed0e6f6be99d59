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
from validation.runs import session
from validation.runs.in_bucket import begin, upload

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
    keys = upload(latest.resolve(), storage, options.prefix)
    print(f"{len(keys)} files in s3://{storage.bucket}/{options.prefix}/")  # noqa: T201
    return ExitCode.PASS if code in JUDGED else int(code)


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
