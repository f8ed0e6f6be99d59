"""Which part of the suite a fault is run against, so that a run takes seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from validation.runs.session import LITE_FAMILIES, TRY_FAMILIES


@dataclasses.dataclass(frozen=True)
class Scene:
    """Families of checks that are run together.

    Args:
        name: What it is about.
        families: Of checks.
        kept: Whether it uses collections that were loaded once for all runs; else each run loads
            its own, as a run for a user does.
        lite: Which of them are run on Milvus Lite too.
        plan: What the family `load` offers.
        secured: Whether they are run on a server with TLS and users, instead of the usual one.
    """

    name: str
    families: tuple[str, ...]
    kept: bool
    lite: tuple[str, ...] = ()
    plan: Path | None = None
    secured: bool = False


ANSWERS = Scene("answers", ("recall", "retrieval"), kept=True, lite=("retrieval",))
LOAD = Scene("load", ("latency",), kept=True)
SUSTAINED = Scene(
    "sustained", ("load",), kept=True, plan=Path(__file__).with_name("sustained.yaml")
)
PLACE = Scene("place", ("identity", "storage"), kept=True, lite=("identity",))
DATA = Scene("data", ("data",), kept=False, lite=("data",))
MUTATIONS = Scene("mutations", ("mutations",), kept=False, lite=("mutations",))
FILTERS = Scene("filters", ("filters",), kept=False)
STORE = Scene("store", ("conformance",), kept=False)
HOSTS = Scene("hosts", ("hosts",), kept=False)
INGEST = Scene("ingest", ("ingest",), kept=False)
SEGMENTS = Scene("segments", ("segments",), kept=False)
SECURITY = Scene("security", ("security",), kept=False, secured=True)
RESTART = Scene("restart", ("lifecycle",), kept=False)
WHOLE = Scene("whole", TRY_FAMILIES, kept=False, lite=(*LITE_FAMILIES, "data", "mutations"))

SCENES = (
    *(ANSWERS, LOAD, SUSTAINED, PLACE, DATA, MUTATIONS),
    *(FILTERS, INGEST, SEGMENTS, STORE, HOSTS, SECURITY, RESTART, WHOLE),
)
"""In the order in which they are run: those with kept collections first."""
