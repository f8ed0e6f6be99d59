"""`milvus-kit recall`: how many true neighbours a collection that is there finds; read only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    *,
    collection: Annotated[
        str, typer.Option(metavar="NAME", help="The collection, which has to be loaded.")
    ],
    target: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Target document; docs/target.md shows one."),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("-s", "--stack", metavar="NAME", help="Pulumi stack that has the target."),
    ] = None,
    field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its vectors, if there are several.")
    ] = None,
    queries: Annotated[
        str,
        typer.Option(
            metavar="N|FILE", help="How many rows to ask with, or an .npy file of vectors."
        ),
    ] = "200",
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours.")] = 10,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Search parameter. May be given again."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=V,V,…", help="Values to try; what suits the index if left out, or none."
        ),
    ] = None,
    filter_: Annotated[
        str, typer.Option("--filter", metavar="EXPR", help="Filter of every search.")
    ] = "",
    output_field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Field to return and compare. May be given again."),
    ] = None,
    want: Annotated[
        float | None, typer.Option(metavar="RECALL", help="The recall to be held, such as 0.95.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 20_240_501,
    output: Annotated[
        Literal["table", "json"], typer.Option(help="Format of the answer.")
    ] = "table",
) -> int:
    """Measure the recall of a collection that is there, against its own rows.

    Read only: it never creates, flushes, loads or drops. docs/recall.md says how.
    """
    import json

    from rich.console import Console

    from validation.common.progress import Progress
    from validation.milvus.connection import connect
    from validation.recall import telling
    from validation.recall.measure import measure
    from validation.recall.plan import plan_of
    from validation.recall.subject import subject_of
    from validation.runs.stack_output import target_given

    plan = plan_of(
        queries,
        k=k,
        params=param or (),
        sweep=sweep,
        condition=filter_,
        fields=output_field or (),
        want=want,
        seed=seed,
    )
    with (
        target_given(target, stack, command="recall", wanted="say which server") as found,
        connect(found) as connection,
    ):
        measured = measure(subject_of(connection, collection, field), plan, Progress())
    if output == "json":
        typer.echo(json.dumps(telling.document(measured), indent=2))
    else:
        telling.show(measured, Console())
    return telling.verdict(measured)
