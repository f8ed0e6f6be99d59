"""Whether generated rows fit on this host: told with the sum, before anything is made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from validation.common.host import memory_available
from validation.errors import ConfigurationError

MAX_DIM = 32_768
"""Dimensions that Milvus takes unless proxy.maxDimension says otherwise."""
_COPIES = 3
"""Of the vectors while they are made: their clusters, noise, and the sum (2.8 were measured)."""
_SERVED = 3
"""Memory of the servers that `try` runs on this host: raw vectors, an index, what is on its way."""
_STORED = 6
"""Copies on the disk of those servers: the log, the bucket's rows, three indexes, the cache."""


def require_room(rows: int, dim: int, *, servers: Path | None = None) -> None:
    """Make sure that generated rows fit into memory, and on the disk where servers run here.

    Args:
        rows: Number of rows.
        dim: Their dimension.
        servers: Folder below which `try` lets its servers keep their data.

    Raises:
        ConfigurationError: They do not; with the sum and with how many rows would.
    """
    raw = 4 * rows * dim
    told = f"{rows:,} rows of {dim:,} dimensions of 4 bytes = {_shown(raw)}"
    if dim > MAX_DIM:
        raise ConfigurationError(
            f"{told}, and Milvus takes at most {MAX_DIM:,} dimensions",
            where="--dim",
            seen=dim,
            remedy=f"give --dim {MAX_DIM} at most, and fewer --rows",
        )
    demands = [("memory", _COPIES + (_SERVED if servers is not None else 0), memory_available())]
    if servers is not None:
        demands.append(("disk", _STORED, _free(servers)))
    for what, copies, free in demands:
        if raw * copies > free:
            raise ConfigurationError(
                f"the generated rows do not fit ({what}): {told}, {copies} times that while they"
                f" are made and measured = {_shown(raw * copies)}; {_shown(free)} are free",
                where="--rows, --dim",
                remedy=f"at this --dim about {free // (4 * dim * copies):,} rows fit here; or free"
                f" some {what}",
            )


def _free(folder: Path) -> int:
    folder = folder.absolute()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(existing).free


def _shown(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"  # noqa: PLR2004
