"""`milvus-kit validate`: run the suite against a Milvus that is there, and judge it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from validation.target import Target


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
        None, metavar="FILE", help="Rules to judge by. [default: stacks/NAME.slo.yaml]"
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
    from validation import target as targets
    from validation.errors import UsageError
    from validation.stack_output import target_of_stack

    if (target is None) == (stack is None):
        raise UsageError(
            "say what to validate",
            where="milvus-kit validate",
            remedy="give --target FILE or -s STACK, one of them",
        )
    chosen: AbstractContextManager[Target]
    chosen = target_of_stack(stack) if stack else nullcontext(targets.load(target or Path()))
    with chosen as found:
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
