"""Manifests and their differences, told on a terminal."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.errors import ExitCode
from validation.upgrade.differing import Differences
from validation.upgrade.document import Manifest


def made(manifest: Manifest, folder: Path) -> ExitCode:
    """Show a manifest; return the command's exit code."""
    unread = []
    for name, one in manifest.collections.items():
        if one.not_read:
            unread.append(f"{name} was not read: {one.not_read}")
            continue
        total = sum(int(part.content, 16) for part in one.partitions.values()) % (1 << 128)
        typer.echo(f"{name}: {one.rows:,} rows, content {total:032x}")
        if one.computed:
            typer.echo(f"  not vouched for: {', '.join(one.computed)}, which functions compute")
    unread += map(": ".join, manifest.miscounted)
    if manifest.access_not_read:
        unread.append(f"users and roles were not read: {manifest.access_not_read}")
    if manifest.objects and manifest.objects.not_read:
        unread.append(f"the bucket was not listed: {manifest.objects.not_read}")
    for text in unread:
        typer.echo(f"not read: {text}")
    if any(one.not_read for one in manifest.collections.values()):
        typer.echo("  -> load what is to be vouched for, or give --load (in another folder)")
    typer.echo(f"Manifest: {folder}")
    return ExitCode.INCONCLUSIVE if unread else ExitCode.PASS


def differences(found: Differences) -> ExitCode:
    """Show differences; return the command's exit code."""
    for text in (*found.found, *found.unserved):
        typer.echo(f"differs: {text}")
    for text in found.not_read:
        typer.echo(f"not read: {text}")
    for text in found.notes:
        typer.echo(f"note: {text}")
    if found.found or found.unserved:
        return ExitCode.FAIL
    if found.not_read:
        return ExitCode.INCONCLUSIVE
    if not found.collections:
        typer.echo("nothing was compared: both manifests hold no collection")
        return ExitCode.INCONCLUSIVE
    typer.echo(f"the same: {found.collections:,} collections, {found.held:,} rows")
    return ExitCode.PASS
