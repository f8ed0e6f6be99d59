"""`milvus-kit report`: show a saved run, as it was judged."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from validation.cli import options


class Format(StrEnum):
    """What a run is rendered as."""

    TERMINAL = "terminal"
    HTML = "html"
    JUNIT = "junit"


def command(
    run: Path = typer.Argument(Path("runs/latest"), metavar="FOLDER", help="A run's folder."),
    form: Format = typer.Option(
        Format.TERMINAL, "--format", help="What to write to standard output."
    ),
    verbose: bool = options.VERBOSE,
) -> int:
    """Show a saved run as it was judged; its folder stays as it is.

    The exit code is that of its verdict. `judge` judges it again.
    """
    from rich.console import Console

    from validation.report import html, junit
    from validation.report.store import read_results
    from validation.report.terminal import print_summary
    from validation.runs.pytest_run import exit_code

    results = read_results(run)
    folder = (run if run.is_dir() else run.parent).resolve()
    if form is Format.TERMINAL:
        print_summary(results, folder, Console(), verbose=verbose)
    else:
        page = html.page(results, folder) if form is Format.HTML else junit.document(results)
        typer.echo(page.encode(), nl=False)  # as UTF-8 whatever the terminal's encoding
    return exit_code(results)
