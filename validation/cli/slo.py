"""`milvus-kit slo`: which rate of searches a Milvus sustains while every rule for them holds."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options
from validation.errors import ExitCode, UsageError

FAMILY, METRIC = "load", "load.sustained_rate"


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    plan: Path | None = typer.Option(
        None, metavar="FILE", help="What is asked and how; plain searches if left out."
    ),
    preset: str | None = typer.Option(
        None, metavar="NAME", help="A plan that comes with the kit, in place of --plan."
    ),
    list_presets: bool = typer.Option(
        False, "--list-presets", help="List the plans that come with the kit."
    ),
    show_preset: str | None = typer.Option(
        None, metavar="NAME", help="Print one of them: put it into a file, edit it, use --plan."
    ),
    rules: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Rules to keep. [default: those that the target names, else stacks/NAME.slo.yaml]",
    ),
    profile: str = typer.Option("acceptance", help="How much is measured: acceptance or soak."),
    rows: int | None = options.ROWS,
    dim: int | None = options.DIM,
    runs: Path = options.RUNS,
) -> int:
    """Find the rate of searches that a Milvus sustains while every rule for them holds.

    Say which by --target or --stack. It is the family `load` of `validate`, by itself; docs/slo.md
    says how the rate is found, and what a plan may ask.
    """
    from validation.load.plans import files

    if list_presets:
        for name, path in files.presets().items():
            typer.echo(f"{name:22} {files.load(path).about}")
        return ExitCode.PASS
    if show_preset:
        typer.echo(files.preset(show_preset).read_text(encoding="utf-8"), nl=False)
        return ExitCode.PASS
    if plan is not None and preset is not None:
        raise UsageError("--plan and --preset exclude each other", remedy="give one of them")
    from validation.runs import session
    from validation.runs.stack_output import target_given

    chosen = files.preset(preset) if preset else plan
    if chosen is not None:
        files.load(chosen)  # what is wrong with it is told before a stack is asked for its target
    with target_given(target, stack, command="slo", wanted="say what to measure") as found:
        return session.validate(
            found,
            session.Choices(
                rules=rules,
                profile=profile,
                rows=rows,
                dim=dim,
                plan=chosen,
                families=(FAMILY,),
                metric=METRIC,
                runs=runs,
            ),
        )
