"""``milvus-kit local``: a Milvus server and an S3 store that keep running on this host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from validation.target import Storage

NAME = "local-kept"
"""Of its target: not that of `milvus-kit try`, whose rules also ask for its second target."""

app = typer.Typer(
    no_args_is_help=True,
    help="Keep Milvus and an S3 store running on this host.",
)


def default_folder() -> Path:
    """Return where the stack lives unless told otherwise: with the user's other data."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "milvus-kit" / "local"


Folder = Annotated[
    Path,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Home of the stack: data, logs, configuration, secrets, target."
        " [default: ~/.local/share/milvus-kit/local]",
        default_factory=default_folder,
        show_default=False,
        file_okay=False,
    ),
]


@app.command()
def up(
    folder: Folder,
    port: Annotated[
        int | None, typer.Option(help="Port of Milvus; a free one if left out.", min=1, max=65535)
    ] = None,
    s3_port: Annotated[
        int | None,
        typer.Option(help="Port of the S3 store; a free one if left out.", min=1, max=65535),
    ] = None,
    s3: Annotated[
        str,
        typer.Option(
            help="Which S3 server: path, container, cache, build or emulator;"
            " the first that works if left out."
        ),
    ] = "",
    image: Annotated[str, typer.Option(help="MinIO's image, where it runs in a container.")] = "",
    storage: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A store of your own in place of one started here: a storage contract, YAML.",
            dir_okay=False,
        ),
    ] = None,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure",
            help="Milvus with TLS and users: a CA and a root password of its own, in the secrets.",
        ),
    ] = False,
) -> None:
    """Start the stack and leave it running.

    Nothing happens if it runs already.
    """
    from validation.local.stack import EmbeddedStack

    own = None if storage is None else _own_store(storage, s3_port=s3_port, s3=s3, image=image)
    wanted = {"proxy": port, "s3": s3_port}
    stack = EmbeddedStack(
        folder,
        owned=False,
        name=NAME,
        ports={name: number for name, number in wanted.items() if number is not None},
        s3=s3,
        image=image,
        storage=own,
        secure=secure,
    )
    if stack.status().running:
        typer.echo(f"already running in {stack.folder}, as it was started")
        target = stack.target
    else:
        target = stack.start()
    typer.echo(f"Milvus   {target.milvus.uri}")
    if target.storage is not None:
        typer.echo(f"S3       {target.storage.endpoint}, bucket {target.storage.bucket}")
        typer.echo(f"keys     {stack.folder / 'secrets'}")
    for note in target.notes:
        typer.echo(f"note     {note}")
    typer.echo(f"validate milvus-kit validate --target {_shown(stack.folder / 'target.yaml')}")
    typer.echo(f"stop     milvus-kit local down{_option(stack.folder)}")


def _own_store(path: Path, **started: object) -> Storage:
    """Return the contract in a file, given instead of what says how a store is started here."""
    from validation.errors import UsageError
    from validation.local import own_store

    given = [f"--{name.replace('_', '-')}" for name, value in started.items() if value]
    if given:
        raise UsageError(
            "--storage names a store that runs already",
            seen=" ".join(given),
            remedy="leave these out, or --storage",
        )
    return own_store.read(path)


@app.command()
def down(
    folder: Folder,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the stack's files as well.")
    ] = False,
) -> None:
    """Stop the stack; its data stay unless --delete-data is given."""
    from validation.local.folder import delete, size
    from validation.local.stack import EmbeddedStack

    stack = EmbeddedStack(folder)
    ran = any(stack.status().servers.values())
    stack.stop()
    typer.echo("stopped" if ran else f"nothing runs in {stack.folder}")
    if delete_data:
        deleted = delete(stack.folder)
        typer.echo(
            f"deleted the stack's files in {stack.folder}"
            if deleted
            else f"nothing was deleted: there is no stack in {stack.folder}"
        )
    elif taken := size(stack.folder):
        typer.echo(
            f"{taken / 1e6:.0f} MB stay in {stack.folder}; `milvus-kit local up"
            f"{_option(stack.folder)}` uses them again, `milvus-kit local down"
            f"{_option(stack.folder)} --delete-data` deletes them"
        )


@app.command()
def status(folder: Folder) -> None:
    """Tell whether the stack runs.

    The exit status is 0 if it does and 1 if not.
    """
    from validation.local.stack import EmbeddedStack

    found = EmbeddedStack(folder).status()
    for name, running in found.servers.items():
        typer.echo(f"{name:8} {'running' if running else 'not running'}")
    typer.echo(f"{'running' if found.running else 'not running'} in {found.folder}")
    if found.owner_pid:
        typer.echo(f"it ends with process {found.owner_pid}")
    if found.running:
        typer.echo(f"target   {_shown(found.target_file)}")
    raise typer.Exit(0 if found.running else 1)


def _option(folder: Path) -> str:
    return "" if folder == default_folder().resolve() else f" --folder {_shown(folder)}"


def _shown(path: Path) -> str:
    """Return a path as it has to be typed."""
    import shlex

    return shlex.quote(str(path))
