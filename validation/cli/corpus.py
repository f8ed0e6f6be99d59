"""``milvus-kit corpus``: a judged corpus of one's own, as ``validate --corpus`` takes it."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Prepare a judged corpus of your own.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Prepare a judged corpus of your own."""


@app.command()
def embed(
    folder: Path = typer.Argument(
        ..., metavar="FOLDER", help="The folder; docs/corpus.md says what is in it."
    ),
    model: str = typer.Option(
        ..., metavar="NAME|FOLDER", help="Model of sentence-transformers, or a folder with one."
    ),
) -> None:
    """Write corpus.npy and queries.npy: vectors of the texts, by a model that you name.

    Needs milvus-kit[embed]. A model that is not on this host is downloaded by that library.
    """
    from validation.datasets.sources.embedding import embed as made_by

    made = made_by(folder, model)
    typer.echo(
        f"{folder}: {made.passages} passages and {made.queries} queries embedded by {model},"
        f" {made.dim} dimensions."
    )
    typer.echo(f"Next: milvus-kit corpus manifest {folder}")


@app.command()
def manifest(
    folder: Path = typer.Argument(
        ..., metavar="FOLDER", help="The folder; docs/corpus.md says what is in it."
    ),
) -> None:
    """Write a corpus folder's MANIFEST.json and check that it loads.

    The manifest vouches for the files as they are: a run refuses a folder that differs from it.
    """
    from validation.datasets.checking import why_metric_matters
    from validation.datasets.folder import files_of, load_folder
    from validation.datasets.manifest import write_manifest

    dataset = load_folder(folder, vouched=False)
    written = write_manifest(folder, files_of(folder))
    ignored = dataset.provenance["identical_ids_ignored"]
    typer.echo(
        f"{written}: {dataset.rows} passages, {len(dataset.queries)} queries, {dataset.dim}"
        f" dimensions, compared by {dataset.metric}."
    )
    if ignored:
        typer.echo(
            f"note: {ignored} queries share their id with a passage, which is left out of their"
            " answers, as BEIR's evaluation does (ignore_identical_ids in corpus.yaml)"
        )
    if said := why_metric_matters(dataset):
        typer.echo(f"note: {said} (metric in corpus.yaml)")
    typer.echo(f"Use it: milvus-kit validate --target FILE --corpus {folder}")
