"""`milvus-kit init`: a folder of one's own with stacks, rules, checks and a Pulumi project."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    folder: Path = typer.Argument(..., metavar="FOLDER", help="To be made; or empty."),
) -> int:
    """Lay down a site's own stacks, rules, checks and Pulumi project.

    It needs no checkout: the programs are those of the installed package, the settings are yours.
    """
    from validation.common.site import lay_down
    from validation.errors import ExitCode

    for path in lay_down(folder):
        typer.echo(f"  {path}")
    typer.echo(f"Next: {folder / 'README.md'}")
    return ExitCode.PASS
