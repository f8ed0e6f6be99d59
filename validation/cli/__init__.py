"""The command line: one module a command, each thin.

Heavy imports wait until a command runs: `milvus-kit --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer

from validation.errors import ExitCode, MilvusKitError

COMMANDS = {
    "try": "validation.cli.try_",
    "validate": "validation.cli.validate",
    "judge": "validation.cli.judge",
    "selftest": "validation.cli.selftest",
    "preflight": "validation.cli.preflight",
    "fetch": "validation.cli.fetch",
    "drill": "validation.cli.drill",
    "size": "validation.cli.size",
    "clean": "validation.cli.clean",
}
GROUPS = {
    "local": "validation.cli.local",
    "config": "validation.cli.config",
    "corpus": "validation.cli.corpus",
}

app = typer.Typer(
    help="Deploy Milvus on any S3 as code, and prove that it keeps its promises.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"milvus-kit {version('milvus-kit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options of every command."""


for _name, _module in COMMANDS.items():
    app.command(_name)(importlib.import_module(_module).command)
for _name, _module in GROUPS.items():
    app.add_typer(importlib.import_module(_module).app, name=_name)


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; end with the exit code that README promises.

    A mistake of the user's is a message, never a traceback; set MILVUS_KIT_DEBUG=1 to see one.
    """
    try:
        code = app(args=arguments, standalone_mode=False)
    except MilvusKitError as error:
        if os.environ.get("MILVUS_KIT_DEBUG"):
            raise
        print(f"milvus-kit: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("milvus-kit: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # click's usage errors
            error.show()  # type: ignore[attr-defined]
            sys.exit(ExitCode.USAGE)
        if os.environ.get("MILVUS_KIT_DEBUG"):
            raise
        print(  # noqa: T201
            f"milvus-kit: internal error: {type(error).__name__}: {error}\n"
            "  -> run it again with MILVUS_KIT_DEBUG=1 and report the traceback",
            file=sys.stderr,
        )
        sys.exit(ExitCode.INTERNAL)
    if code == ExitCode.INTERRUPTED:  # typer turns Ctrl-C into this
        print("milvus-kit: interrupted", file=sys.stderr)  # noqa: T201
    sys.exit(code if isinstance(code, int) else ExitCode.PASS)
