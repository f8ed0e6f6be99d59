"""`milvus-kit validate`: run the suite against a Milvus that is there, and judge it."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options

_FAMILIES = (
    "identity, hosts, security, conformance, data, recall, retrieval, mutations, filters, latency,"
    " load, living, ingest, segments, storage, attribution, site, lifecycle or limits"
)


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    rules: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Rules to judge by. [default: those that the target names, else stacks/NAME.slo.yaml]",
    ),
    profile: str = typer.Option(
        "acceptance", help="How much is measured: smoke, acceptance or soak."
    ),
    rows: int | None = options.ROWS,
    dim: int | None = options.DIM,
    corpus: Path | None = typer.Option(
        None, metavar="FOLDER|FILE", help="A judged corpus in place of the sample data."
    ),
    plan: Path | None = typer.Option(
        None, metavar="FILE", help="A plan for the family load; docs/slo.md shows one."
    ),
    checks: list[Path] = typer.Option(
        [], metavar="FOLDER", help="Your own checks, beside the kit's. May be given again."
    ),
    family: list[str] = typer.Option(
        [], metavar="NAME", help=f"Run only this family of checks: {_FAMILIES}. May be given again."
    ),
    runs: Path = options.RUNS,
    verbose: bool = options.VERBOSE,
) -> int:
    """Run the suite against a Milvus that is there, and judge it.

    Say which by --target or --stack. It ends with the suite's verdict.
    """
    from validation.runs import session
    from validation.runs.stack_output import target_given

    with target_given(
        target, stack, command="validate", wanted="say what to validate", state=True
    ) as found:
        return session.validate(
            found,
            session.Choices(
                rules=rules,
                profile=profile,
                rows=rows,
                dim=dim,
                corpus=corpus,
                plan=plan,
                checks=tuple(checks),
                families=tuple(family),
                runs=runs,
                verbose=verbose,
            ),
        )
