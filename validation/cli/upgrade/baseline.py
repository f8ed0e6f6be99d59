"""`milvus-kit baseline`: how a Milvus is before an upgrade, and what may change at most."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    output: Path = typer.Option(
        ..., "-o", "--output", metavar="FOLDER", help="Where the baseline is kept."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="What may get worse, at most. [default: stacks/upgrade.slo.yaml]"
    ),
    rounds: int = typer.Option(10, help="Rounds of each side, 10 or more."),
    seed: int = typer.Option(20_240_501, help="Of the generated rows."),
    rows: int = typer.Option(20_000, help="How many of them."),
    dim: int = typer.Option(128, help="Their dimension."),
    collection: list[str] = typer.Option(
        [], metavar="NAME", help="Vouch for this collection alone. May be given again."
    ),
    load: bool = typer.Option(
        False, "--load", help="Load collections that are not, and release them again."
    ),
    keys: list[str] = typer.Option(
        [], "--key", metavar="KEY", help="Sign it: a private key as for `certify`. Repeatable."
    ),
) -> int:
    """Measure a Milvus before an upgrade; `compare` says afterwards whether anything got worse.

    Rules, margins, data and rounds are fixed before anything is measured. The kit's collection
    stays on the server until `milvus-kit clean`.
    """
    from validation.certificate.keys import signer
    from validation.common.resources import in_stacks
    from validation.runs.stack_output import target_given
    from validation.upgrade import commands
    from validation.upgrade.plan import NAME, plan_for

    signers = [signer(key) for key in keys]
    with target_given(target, stack, command="baseline", wanted="say what to measure") as found:
        plan = plan_for(
            found,
            rules or in_stacks("upgrade.slo.yaml"),
            rounds=rounds,
            seed=seed,
            rows=rows,
            dim=dim,
            collections=[*collection, NAME] if collection else [],
            load=load,
        )
        return commands.baseline(found, plan, output, signers)
