"""`milvus-kit compare`: whether anything was lost or got worse since a baseline."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    base: Path = typer.Argument(metavar="BASELINE", help="Folder of `milvus-kit baseline`."),
    after: Path | None = typer.Argument(
        None, metavar="[AFTER]", help="Folder of a side that `compare -o` measured."
    ),
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="FOLDER", help="Where the other side and the report go."
    ),
    keys: list[str] = typer.Option(
        [], "--key", metavar="KEY", help="Public key that the baseline is signed by. Repeatable."
    ),
    sign: list[str] = typer.Option(
        [], "--sign", metavar="KEY", help="Sign the other side: a private key. Repeatable."
    ),
) -> int:
    """Measure a Milvus as its baseline was, and judge by the rules that the baseline fixed.

    With two folders, both measured already, nothing is asked of a server. It ends as `validate`
    does: 0 only if nothing was lost, and nothing got worse beyond the margins.
    """
    from validation.certificate.keys import public, signer
    from validation.errors import UsageError
    from validation.runs.stack_output import target_given
    from validation.upgrade import commands, side

    known = [public(Path(key)) for key in keys]
    if after is not None:
        if target or stack or output:
            raise UsageError(
                "two sides that were measured need neither a server nor an output",
                where="milvus-kit compare",
                remedy="give BASELINE AFTER alone, or BASELINE with --target and -o",
            )
        return commands.compare_stored(side.read(base, known), after, known)
    if output is None:
        raise UsageError(
            "say where the other side is kept", where="milvus-kit compare", remedy="give -o FOLDER"
        )
    found = side.read(base, known)
    with target_given(target, stack, command="compare", wanted="say what to measure") as given:
        return commands.compare(found, given, output, [signer(key) for key in sign])
