"""`milvus-kit certify`: sign what a run found out, so that others can check it."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    run: Path = typer.Argument(Path("runs/latest"), metavar="FOLDER", help="A run's folder."),
    keys: list[str] = typer.Option(
        ...,
        "--key",
        metavar="KEY",
        help="Private key: a PEM file (ed25519), env:NAME, or hsm:KEYID?label=TOKEN. Repeatable.",
    ),
    waivers: Path | None = typer.Option(
        None, "--waivers", metavar="FILE", help="Gates that did not pass and who answers for them."
    ),
    selftest: Path | None = typer.Option(
        None,
        "--selftest",
        metavar="FILE",
        help="What `milvus-kit selftest` wrote: how many planted faults this suite found.",
    ),
    countersign: bool = typer.Option(
        False, "--countersign", help="Add signatures to the certificate that the run has."
    ),
) -> int:
    """Write a signed certificate of a run: in-toto statements in DSSE envelopes.

    Exit codes: 0 certified as passed (perhaps with waived gates), 1 certified as failed.
    """
    from validation.certificate import making
    from validation.certificate.keys import signer

    signers = [signer(key) for key in keys]
    folder = run.resolve()
    if countersign:
        made = making.countersigned(folder, signers, waivers=waivers, selftest=selftest)
    else:
        made = making.certified(folder, signers, waivers=waivers, selftest=selftest)
    for line in made.lines():
        typer.echo(line)
    return made.exit_code
