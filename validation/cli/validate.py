"""`milvus-kit validate`: run the suite against a Milvus that is there, and judge it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from validation.target import Target


def command(
    target: Path | None = typer.Option(None, "--target", metavar="FILE", help="Target document."),
    stack: str | None = typer.Option(
        None, "-s", "--stack", metavar="NAME", help="Pulumi stack whose output `target` to use."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/NAME.slo.yaml]"
    ),
    profile: str = typer.Option("acceptance", help="smoke, acceptance or soak."),
    rows: int | None = typer.Option(None, help="Rows of the generated set."),
    dim: int | None = typer.Option(None, help="Dimension of the generated set."),
    corpus: Path | None = typer.Option(
        None, metavar="FOLDER", help="A judged corpus in place of the sample data."
    ),
    checks: list[Path] = typer.Option(
        [], metavar="FOLDER", help="Your own checks, beside the kit's. May be given again."
    ),
    family: list[str] = typer.Option(
        [], metavar="NAME", help="Run only this family. May be given again."
    ),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
) -> int:
    """Run the suite against a Milvus that is there; end with its verdict."""
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
