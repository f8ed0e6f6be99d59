"""A site's own folder: what a user of the installed package keeps under version control."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from validation.common.resources import find
from validation.errors import UsageError

STACKS = ("dev", "dev-cluster", "prod")
"""The kit's stacks that a site begins with."""

_PROJECT = """\
# The project's name is the namespace of the settings in stacks/: leave it.
name: milvus-kit
description: Milvus on any S3, deployed as code and proven to keep its promises
runtime: python
main: program/
stackConfigDir: stacks
"""
_PROGRAM = '''\
"""What `pulumi up` runs: the program of the installed package, with the settings in stacks/."""

from infra.program import main

main()
'''
_CHECK = '''\
"""Checks of this site: `milvus-kit validate -s NAME --checks checks`.

A rule for `site.collections` in stacks/NAME.slo.yaml makes a gate of it.
"""


def test_collections_can_be_listed(gate, connection):
    """Observe how many collections there are."""
    gate("site.collections", [len(connection.client.list_collections())], unit="collections")
'''
_README = """\
# Milvus at this site

    python3 -m venv .venv && . .venv/bin/activate
    pip install -r requirements.txt

    milvus-kit config check -s dev       # every mistake at once, without a cluster
    pulumi login --local                 # or where your states are kept
    pulumi stack init dev
    pulumi up -s dev
    milvus-kit validate -s dev --checks checks

`stacks/` holds the settings of each stack and the rules that it is judged by, `checks/` your own
checks, `program/` what Pulumi runs. Begin with `stacks/Pulumi.prod.yaml` for production: its head
says what it needs. A new release of the kit: change requirements.txt, install, and look at
`pulumi preview`; a fresh `milvus-kit init` has that release's stacks/images.yaml.
"""


def lay_down(folder: Path) -> list[Path]:
    """Write a site's files and return them, relative to its folder.

    Raises:
        UsageError: There is something already, or it cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(
                "this folder is not empty",
                where=str(folder),
                remedy="name one that is not there yet; nothing was written",
            )
        for path, text in _texts().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        (folder / "stacks").mkdir()
        for source in _stacks():
            shutil.copyfile(source, folder / "stacks" / source.name)
    except OSError as error:
        raise UsageError(
            f"the site cannot be written: {error.strerror}",
            where=str(error.filename or folder),
            remedy="name a folder that you may write to",
        ) from None
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _texts() -> dict[str, str]:
    return {
        "README.md": _README,
        "Pulumi.yaml": _PROJECT,
        "program/__main__.py": _PROGRAM,
        "checks/test_site.py": _CHECK,
        "requirements.txt": f"milvus-kit[infra]=={version('milvus-kit')}\n",
        ".gitignore": ".venv/\nruns/\n",
    }


def _stacks() -> Iterator[Path]:
    stacks = find("stacks")
    for name in STACKS:
        yield stacks / f"Pulumi.{name}.yaml"
        yield stacks / f"{name}.slo.yaml"
    yield stacks / "default.slo.yaml"
    yield stacks / "images.yaml"
