"""The vector indexes: how much of a data set each keeps in memory, and how much on local disk.

Sources: the loading-memory calculator of the Milvus sizing tool, whose formulas are for float32. A
type of two bytes halves what is stored of the vectors themselves, and nothing of codes and edges,
by the kit's own reckoning. GPU_CAGRA is loaded by the host as FLAT is, according to the tool's page
on GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GIB = 2**30
FLOAT_BYTES = 4
SEGMENT_MIB = 1024
"""Of a sealed segment at most, unless dataCoord.segment.maxSize says otherwise."""


class Index(StrEnum):
    """The vector indexes that can be sized.

    IVF_PQ has no published formula; it is bounded by IVF_SQ8, whose codes are never shorter. Those
    of HNSW_SQ and AISAQ are the kit's own, put together from the parts of the published ones.
    """

    FLAT = "FLAT"
    IVF_FLAT = "IVF_FLAT"
    IVF_SQ8 = "IVF_SQ8"
    IVF_PQ = "IVF_PQ"
    IVF_RABITQ = "IVF_RABITQ"
    SCANN = "SCANN"
    HNSW = "HNSW"
    HNSW_SQ = "HNSW_SQ"
    DISKANN = "DISKANN"
    AISAQ = "AISAQ"
    GPU_CAGRA = "GPU_CAGRA"


SINCE = {Index.HNSW_SQ: (2, 5), Index.IVF_RABITQ: (2, 6), Index.AISAQ: (2, 6)}
"""The first line of versions that has an index, where it is not the oldest; AISAQ
came with 2.6.4."""
ON_DISK = frozenset({Index.DISKANN, Index.AISAQ})
OFFLOADED_SHARE = 10
"""What is mapped from disk counts a tenth in memory: the tool's rule for scalars, and the kit's for
the rest."""


class VectorType(StrEnum):
    """How a dimension is stored."""

    FLOAT = "FLOAT"
    FLOAT16 = "FLOAT16"
    BFLOAT16 = "BFLOAT16"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is to be stored and searched.

    Args:
        vectors: Number of vectors.
        dim: Dimensions of a vector.
        vector_type: How a dimension is stored.
        index: The vector index.
        replicas: In-memory replicas of the loaded collection (``replica_number``); each has query
            nodes of its own.
        m: HNSW's maximum degree of a node.
        nlist: Clusters of the IVF indexes.
        max_degree: DISKANN's maximum degree.
        scalar_bytes: Average bytes of scalar fields in a row, loaded beside the vectors.
        segment_mib: Maximum size of a sealed segment (``dataCoord.segment.maxSize``).
        mmap: Whether query nodes map index and scalars from their disk.
    """

    vectors: int
    dim: int
    vector_type: VectorType = VectorType.FLOAT
    index: Index = Index.HNSW
    replicas: int = 1
    m: int = 30
    nlist: int = 128
    max_degree: int = 56
    scalar_bytes: int = 0
    segment_mib: int = SEGMENT_MIB
    mmap: bool = False

    @property
    def dim_bytes(self) -> int:
        """Return the bytes of one dimension."""
        return FLOAT_BYTES if self.vector_type is VectorType.FLOAT else FLOAT_BYTES // 2

    @property
    def raw(self) -> int:
        """Return the bytes of all vectors."""
        return self.vectors * self.dim * self.dim_bytes


@dataclass(frozen=True)
class Step:
    """One line of the arithmetic."""

    name: str
    formula: str
    value: str


def gib(size: float) -> str:
    """Return a size in bytes as text, e.g. ``309.0 GiB``."""
    return f"{size / GIB:,.1f} GiB"


def index_size(workload: Workload) -> tuple[float, float, tuple[Step, ...]]:
    """Return the index's bytes in memory and on local disk, and the formulas used."""
    memory, text = _memory(workload)
    steps = [Step(f"{workload.index} index in memory", text, gib(memory))]
    if workload.index not in ON_DISK:
        return memory, 0.0, tuple(steps)
    disk: float = workload.raw + workload.vectors * FLOAT_BYTES * workload.max_degree
    text = f"raw + vectors x max degree {workload.max_degree} x 4 B"
    if workload.index is Index.AISAQ:  # its codes are there too
        disk += workload.vectors * workload.dim
        text += f" + vectors x {workload.dim} B"
    steps.append(Step("index on local disk, one replica", text, gib(disk)))
    return memory, disk, tuple(steps)


def _memory(workload: Workload) -> tuple[float, str]:
    """Return the index's bytes in memory, and the formula."""
    raw, dim, m = workload.raw, workload.dim, workload.m
    codes = workload.vectors * dim  # a byte a dimension: raw / 4 of the tool's float32
    edges = workload.vectors * 2 * m * FLOAT_BYTES
    centres = workload.nlist * dim * FLOAT_BYTES
    of_centres = f" + nlist {workload.nlist} x {dim * FLOAT_BYTES} B"
    formulas: dict[Index, tuple[float, str]] = {
        Index.FLAT: (raw, "raw"),
        Index.GPU_CAGRA: (raw, "raw"),
        Index.IVF_FLAT: (raw + centres, f"raw{of_centres}"),
        Index.IVF_SQ8: (codes + centres, f"vectors x {dim} B{of_centres}"),
        Index.IVF_PQ: (codes + centres, f"vectors x {dim} B{of_centres}"),
        Index.IVF_RABITQ: (
            codes / 8 + centres,
            f"vectors x {dim} / 8 B{of_centres} (without refinement)",
        ),
        Index.SCANN: (raw + codes / 2, f"raw + vectors x {dim} / 2 B (with raw data)"),
        Index.HNSW: (raw + edges, f"raw + vectors x 2 x M {m} x 4 B"),
        Index.HNSW_SQ: (
            codes + edges,
            f"vectors x ({dim} B + 2 x M {m} x 4 B) (SQ8, without refinement)",
        ),
        Index.DISKANN: (codes, f"vectors x {dim} B"),
        Index.AISAQ: (codes / OFFLOADED_SHARE, f"vectors x {dim} B / {OFFLOADED_SHARE}"),
    }
    return formulas[workload.index]
