"""`milvus-kit verify`: check a certificate, offline, and judge its run again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer


def command(
    run: Path = typer.Argument(Path("runs/latest"), metavar="FOLDER", help="A run's folder."),
    keys: list[Path] = typer.Option(
        ...,
        "--key",
        metavar="FILE",
        help="Public key that must have signed, PEM. May be repeated: each must have.",
    ),
    certificate: Path | None = typer.Option(
        None, "--certificate", metavar="FILE", help="The certificate, if it is not in the folder."
    ),
) -> int:
    """Verify a run's certificate: signatures, files, and every verdict from the raw samples.

    Exit codes: 0 it holds and says passed, perhaps with waived gates; 1 it does not hold, or says
    failed.
    """
    from validation.certificate import FILE, making
    from validation.certificate.keys import public
    from validation.certificate.verification import verify

    folder = run.resolve()
    trusted = [public(key) for key in keys]
    today = datetime.now(UTC).date()
    verified = verify(certificate or folder / FILE, folder, trusted, today=today)
    shown = making.shown(verified, signatures=len(trusted))
    for line in shown.lines():
        typer.echo(line)
    return shown.exit_code
