"""``milvus-kit size``: what a data set needs, with the arithmetic."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}


def command(
    *,
    vectors: Annotated[str, typer.Option(help="Number of vectors: 2500000, 100M or 1.5B.")],
    dim: Annotated[int, typer.Option(min=2, max=32768, help="Dimensions of a vector.")],
    index: Annotated[
        Literal[
            "FLAT",
            "IVF_FLAT",
            "IVF_SQ8",
            "IVF_PQ",
            "IVF_RABITQ",
            "SCANN",
            "HNSW",
            "HNSW_SQ",
            "DISKANN",
            "AISAQ",
            "GPU_CAGRA",
        ],
        typer.Option(help="Vector index."),
    ] = "HNSW",
    vector_type: Annotated[
        Literal["FLOAT", "FLOAT16", "BFLOAT16"], typer.Option(help="How a dimension is stored.")
    ] = "FLOAT",
    mmap: Annotated[
        bool, typer.Option("--mmap", help="Query nodes map indexes and fields from their disk.")
    ] = False,
    log: Annotated[
        Literal["kafka", "woodpecker-service", "other"] | None,
        typer.Option(help="Whose servers are sized; default: those usual for the version."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="Copies of the data in memory.")] = 1,
    mode: Annotated[
        Literal["cluster", "standalone"],
        typer.Option(help="Roles of their own, or one process for all."),
    ] = ("cluster"),
    version: Annotated[str, typer.Option(help="Milvus version, such as 2.5 or 3.")] = "3",
    m: Annotated[int, typer.Option("--m", min=2, max=2048, help="HNSW: maximum degree (M).")] = 30,
    nlist: Annotated[int, typer.Option(min=1, max=65536, help="IVF: number of clusters.")] = 128,
    max_degree: Annotated[int, typer.Option(min=1, max=512, help="DISKANN: maximum degree.")] = 56,
    scalar_bytes: Annotated[int, typer.Option(min=0, help="Bytes of scalar columns in a row.")] = 0,
    segment_mib: Annotated[int, typer.Option(min=1, help="Size of a sealed segment, MiB.")] = 1024,
    output: Annotated[
        Literal["table", "json", "yaml", "stack"],
        typer.Option(help="Format of the answer; stack: what to paste into a stack's file."),
    ] = "table",
) -> None:
    """Size a deployment from Milvus's published formulas.

    Shows query nodes, other roles, etcd, log and bucket, with the arithmetic.
    """
    from infra.milvus.capacity.indexes import Index, VectorType, Workload
    from infra.milvus.capacity.pasted import text
    from infra.milvus.capacity.sizing import size

    workload = Workload(
        vectors=parse_count(vectors),
        dim=dim,
        vector_type=VectorType(vector_type),
        mmap=mmap,
        index=Index(index),
        replicas=replicas,
        m=m,
        nlist=nlist,
        max_degree=max_degree,
        scalar_bytes=scalar_bytes,
        segment_mib=segment_mib,
    )
    sizing = size(workload, mode=mode, version=version, log=log)
    if output == "table":
        _print_table(sizing)
        typer.echo("\nPaste into stacks/Pulumi.NAME.yaml, beside what the section says already:\n")
    if output in {"table", "stack"}:
        typer.echo(text(sizing), nl=False)
        return
    _print_document(sizing, output)


def parse_count(text: str) -> int:
    """Return a number of vectors from text such as ``100M``.

    Raises:
        UsageError: The text is not a positive whole number with an optional K, M or B.
    """
    from decimal import Decimal, InvalidOperation

    from validation.errors import UsageError

    plain = text.strip().replace("_", "").replace(",", "").upper()
    unit = plain[-1] if plain and plain[-1] in _UNITS else ""
    try:
        number = Decimal(plain.removesuffix(unit)) * _UNITS[unit]
        count = int(number)
        exact = number == count
    except (InvalidOperation, ValueError, OverflowError):
        count, exact = 0, False
    if not exact or not 0 < count <= 10**13:
        raise UsageError(
            "not a number of vectors",
            where="--vectors",
            seen=text,
            remedy="give a positive whole number, with K, M or B if you like: 100M",
        )
    return count


def _print_table(sizing: object) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from infra.milvus.capacity.sizing import Sizing

    if not isinstance(sizing, Sizing):
        raise TypeError(sizing)
    arithmetic = Table("step", "formula", "result", box=SIMPLE_HEAD, title="Arithmetic")
    for step in sizing.steps:
        arithmetic.add_row(step.name, step.formula, step.value)
    nodes = Table("role", "nodes", "cores", "memory", "volume", box=SIMPLE_HEAD, title="Nodes")
    for role, group in sizing.nodes.items():
        volume = f"{group.volume_gib} GiB" if group.volume_gib else "-"
        nodes.add_row(role, str(group.count), f"{group.cpu:g}", f"{group.memory_gib} GiB", volume)
    console = Console()
    console.print(arithmetic)
    console.print(nodes)
    console.print(
        "Source: the published Milvus sizing formulas; confirm them by an acceptance run.",
    )


def _print_document(sizing: object, output: str) -> None:
    import json
    from dataclasses import asdict, is_dataclass

    import yaml

    if not is_dataclass(sizing) or isinstance(sizing, type):
        raise TypeError(sizing)
    document = json.loads(json.dumps(asdict(sizing)))
    text = (
        json.dumps(document, indent=2)
        if output == "json"
        else yaml.safe_dump(document, sort_keys=False)
    )
    typer.echo(text.rstrip())
