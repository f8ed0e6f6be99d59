"""`milvus-kit validate`: run the suite against a Milvus that is there, and judge it."""

from __future__ import annotations

from pathlib import Path

import typer

_FAMILIES = (
    "identity, conformance, data, recall, retrieval, latency, storage, attribution, site,"
    " lifecycle or limits"
)


def command(
    target: Path | None = typer.Option(
        None, "--target", metavar="FILE", help="Target document; docs/target.md shows one."
    ),
    stack: str | None = typer.Option(
        None, "-s", "--stack", metavar="NAME", help="Pulumi stack whose output is the target."
    ),
    rules: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Rules to judge by. [default: those that the target names, else stacks/NAME.slo.yaml]",
    ),
    profile: str = typer.Option(
        "acceptance", help="How much is measured: smoke, acceptance or soak."
    ),
    rows: int | None = typer.Option(
        None, help="Rows of the generated dataset; the profile's if left out."
    ),
    dim: int | None = typer.Option(None, help="Its dimension; the profile's if left out."),
    corpus: Path | None = typer.Option(
        None, metavar="FOLDER", help="A judged corpus in place of the sample data."
    ),
    checks: list[Path] = typer.Option(
        [], metavar="FOLDER", help="Your own checks, beside the kit's. May be given again."
    ),
    family: list[str] = typer.Option(
        [], metavar="NAME", help=f"Run only this family of checks: {_FAMILIES}. May be given again."
    ),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
) -> int:
    """Run the suite against a Milvus that is there, and judge it.

    Say which by --target or --stack. It ends with the suite's verdict.
    """
    from validation import session
    from validation.stack_output import target_given

    with target_given(target, stack, command="validate", wanted="say what to validate") as found:
        return session.validate(
            found,
            session.Choices(
                rules=rules,
                profile=profile,
                rows=rows,
                dim=dim,
                corpus=corpus,
                checks=tuple(checks),
                families=tuple(family),
                runs=runs,
            ),
        )
