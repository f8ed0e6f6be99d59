"""`milvus-kit selftest`: plant faults and see each turn its own gates red, and no other."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    fault: list[str] = typer.Option(
        [], metavar="NAME", help="Plant only this fault. May be given again."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/local.slo.yaml]"
    ),
    list_faults: bool = typer.Option(False, "--list", help="List the faults and exit."),
) -> int:
    """Plant faults and see that each turns just its own gates red.

    Each is planted in a run of its own, against Milvus and an S3 store that are started here.
    """
    from validation.errors import ExitCode
    from validation.progress import Progress
    from validation.selftest import runner
    from validation.selftest.faults import FAULTS

    if list_faults:
        for one in FAULTS.values():
            typer.echo(f"{one.name:24} {one.story}")
        return ExitCode.PASS
    findings = runner.run(fault, rules_file=rules, progress=Progress())
    caught = sum(finding.caught for finding in findings)
    word = "PASS" if caught == len(findings) else "FAIL"
    typer.echo(f"{word}  {caught} of {len(findings)} faults turned exactly their own gates red")
    return ExitCode.PASS if caught == len(findings) else ExitCode.FAIL
