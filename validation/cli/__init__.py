"""The command line: one module a command, each thin.

Heavy imports wait until a command runs: `milvus-kit --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from validation.common.ending import as_by_ctrl_c
from validation.errors import ExitCode, MilvusKitError, UsageError

COMMANDS = {
    "init": "validation.cli.init",
    "try": "validation.cli.try_",
    "validate": "validation.cli.validate",
    "slo": "validation.cli.slo",
    "baseline": "validation.cli.upgrade.baseline",
    "compare": "validation.cli.upgrade.compare",
    "backup": "validation.cli.upgrade.backup",
    "restore": "validation.cli.upgrade.restore",
    "switch-log": "validation.cli.upgrade.switch_log",
    "report": "validation.cli.evidence.report",
    "history": "validation.cli.evidence.history",
    "transfer": "validation.cli.evidence.transfer",
    "judge": "validation.cli.evidence.judge",
    "certify": "validation.cli.evidence.certify",
    "verify": "validation.cli.evidence.verify",
    "selftest": "validation.cli.selftest",
    "preflight": "validation.cli.preflight",
    "recall": "validation.cli.recall",
    "fetch": "validation.cli.fetch",
    "drill": "validation.cli.drill",
    "size": "validation.cli.size",
    "clean": "validation.cli.clean",
}
GROUPS = {
    "local": "validation.cli.local",
    "manifest": "validation.cli.upgrade.manifest",
    "config": "validation.cli.config",
    "corpus": "validation.cli.corpus",
}

EMPTY_MEANS_SOMETHING = frozenset({"--root-path"})
"""Options whose empty value is one: the bucket's root."""


class _Commands(TyperGroup):
    """Refuses empty arguments: an empty path would be the current folder.

    They come of variables of a shell that are not set, and ``local down --delete-data --folder ""``
    would look for a stack to delete wherever its user happens to stand.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an empty argument before anything is made of it.

        Raises:
            UsageError: There is one.
        """
        for before, argument in zip(["", *args], args, strict=False):
            option, given, value = argument.partition("=")
            of_option = argument.startswith("--") and given
            empty = not value if of_option else not argument
            named = option if of_option else before
            if empty and named not in EMPTY_MEANS_SOMETHING:
                raise UsageError(
                    f"the value of {named} is empty" if named.startswith("-") else "it is empty",
                    where=f"milvus-kit {' '.join(args[:2])}".strip(),
                    seen="",
                    remedy="leave it out, or give a value; a variable of the shell may not be set",
                )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Commands,
    help="Deploy Milvus on any S3 as code, and prove that it keeps its promises.",
    no_args_is_help=True,
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
        with as_by_ctrl_c():
            code = app(args=arguments, standalone_mode=False)
    except MilvusKitError as error:
        if os.environ.get("MILVUS_KIT_DEBUG"):
            raise
        from validation.report.wording import plain  # names in it may be anybody's

        print(f"milvus-kit: {plain(error)}", file=sys.stderr)  # noqa: T201
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
