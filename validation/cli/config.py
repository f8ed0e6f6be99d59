"""``milvus-kit config``: a stack's settings, checked and shown without Pulumi."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Check and show a stack's configuration.", no_args_is_help=True)

Stack = Annotated[
    str | None,
    typer.Option("--stack", "-s", metavar="NAME", help="Stack: stacks/Pulumi.NAME.yaml."),
]
File = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="A stack file elsewhere.")
]


@app.command()
def check(stack: Stack = None, file: File = None) -> None:
    """Check a stack's configuration; name every mistake at once."""
    from infra.settings.rules import remarks

    path, name = _chosen(stack, file)
    settings = _checked(path, name)
    for line in remarks(dict(settings)):
        typer.echo(f"worth a word: {line}", err=True)
    typer.echo(
        f"{path}: no mistake found. Milvus {settings.milvus.version} {settings.milvus.mode} on"
        f" {settings.storage.type}, log {settings.log.type}, {settings.environment}."
    )


@app.command()
def show(stack: Stack = None, file: File = None) -> None:
    """Show the whole configuration as it is used, with all defaults."""
    import yaml

    path, name = _chosen(stack, file)
    settings = _checked(path, name)
    document = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())


@app.command()
def images(stack: Stack = None, file: File = None) -> None:
    """List every image that a stack runs.

    Where mirrors are set, a line has two names: what to copy, and where to.
    """
    from infra.images import copies, used

    path, name = _chosen(stack, file)
    settings = _checked(path, name)
    sources = {mirrored: public for public, mirrored in copies(settings).items()}
    for reference in sorted(set(used(settings).values())):
        source = sources.get(reference)
        typer.echo(f"{source} {reference}" if source else reference)


@app.command()
def reference() -> None:
    """Print the reference of all keys, as in docs/settings.md."""
    from infra.settings.reference import markdown

    typer.echo(markdown(), nl=False)


def _checked(path: Path, name: str) -> Any:
    from infra.images import used
    from infra.milvus.capacity.planning import plan
    from infra.settings.parse import from_file

    settings = from_file(path)
    plan(settings, where=f"stack {name}")
    used(settings)
    return settings


def _chosen(stack: str | None, file: Path | None) -> tuple[Path, str]:
    """Return the stack file that is meant, and the stack's name."""
    from validation.common.resources import stack_file
    from validation.errors import UsageError

    if (stack is None) == (file is None):
        raise UsageError("give exactly one of --stack and --file", remedy="-s dev, for example")
    if file is not None:
        return file, file.stem.removeprefix("Pulumi.")
    return stack_file(str(stack)), str(stack)
