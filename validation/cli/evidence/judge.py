"""`milvus-kit judge`: judge a saved run again, offline, perhaps by other rules."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    run: Path = typer.Argument(Path("runs/latest"), metavar="FOLDER", help="A run's folder."),
    rules: Path | None = typer.Option(
        None, "--rules", metavar="FILE", help="Other rules; those of the run if left out."
    ),
    save: bool = typer.Option(
        False, "--save", help="Write the new verdicts and renderings into the run's folder."
    ),
    verbose: bool = options.VERBOSE,
) -> int:
    """Judge a saved run again, by other rules if you like. Nothing is measured."""
    from rich.console import Console

    from validation.report.store import read_results
    from validation.report.terminal import print_summary
    from validation.runs.folder import ASSERTIONS, judged, publish
    from validation.runs.pytest_run import exit_code
    from validation.verdicts import rules as rules_files

    results = read_results(run)
    folder = (run if run.is_dir() else run.parent).resolve()
    if rules is None:
        in_force = [rule for rule in results.rules if rule.gate != ASSERTIONS.gate]
        source = results.rules_source
    else:
        in_force, source = rules_files.load(rules), str(rules)
    results = judged(results, folder, in_force, rules_source=source)
    if save:
        publish(results, folder)
    print_summary(results, folder, Console(soft_wrap=False), verbose=verbose)
    return exit_code(results)
