"""``milvus-kit corpus``: a judged corpus of one's own, as ``validate --corpus`` takes it."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Prepare a judged corpus of your own.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Prepare a judged corpus of your own."""


@app.command()
def manifest(
    folder: Path = typer.Argument(
        ..., metavar="FOLDER", help="The folder; docs/corpus.md says what is in it."
    ),
) -> None:
    """Write a corpus folder's MANIFEST.json and check that it loads.

    The manifest vouches for the files as they are: a run refuses a folder that differs from it.
    """
    from validation.datasets.folder import FILES, load_folder
    from validation.datasets.manifest import write_manifest

    written = write_manifest(folder, FILES)
    dataset = load_folder(folder)
    rows, dim = dataset.vectors.shape
    typer.echo(
        f"{written}: {rows} passages, {len(dataset.queries.ids)} queries, {dim} dimensions.\n"
        f"Use it: milvus-kit validate --target FILE --corpus {folder}"
    )
