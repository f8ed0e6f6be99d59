"""Options that several commands share: which Milvus, how large a dataset, where runs are kept."""

from pathlib import Path

import typer

TARGET = typer.Option(
    None, "--target", metavar="FILE", help="Target document; docs/target.md shows one."
)
STACK = typer.Option(
    None, "-s", "--stack", metavar="NAME", help="Pulumi stack whose output is the target."
)
ROWS = typer.Option(None, help="Rows of the generated dataset; the profile's if left out.")
DIM = typer.Option(None, help="Its dimension; the profile's if left out.")
RUNS = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept.")
VERBOSE = typer.Option(False, "-v", "--verbose", help="Print every gate.")
PREFIX = typer.Option(
    "validation-results", help="validation.resultsPrefix of the stack's settings."
)
IN_BUCKET = typer.Option(
    None,
    "--in-bucket",
    metavar="PREFIX",
    help="The target's bucket keeps the backup, too: below this prefix, by its folder's name.",
)
