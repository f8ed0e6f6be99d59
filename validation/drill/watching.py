"""What Milvus asks of its store, as the fault proxy sees it: proof that it really came by."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from validation.s3.faults.proxy import Certificate, FaultProxy
from validation.s3.faults.script import Fault, Script

if TYPE_CHECKING:  # it loads a client of Milvus, which listing the faults does not need
    from validation.milvus.objects import Stored

_READ = "GET"


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request of Milvus's.

    Args:
        method: Of HTTP.
        path: Without a query string.
        met: Whether a fault was armed for it.
    """

    method: str
    path: str
    met: bool


class _WatchedScript(Script):
    """Remembers what was asked for; what happens to it is the script's business as ever."""

    def __init__(self, asked: list[Asked]) -> None:
        super().__init__()
        self._asked = asked

    def choose(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets."""
        fault = super().choose(method, path)
        self._asked.append(Asked(method, path.partition("?")[0], fault is not None))
        return fault


class WatchedProxy(FaultProxy):
    """A fault proxy that remembers what was asked for.

    Args:
        upstream: The store's endpoint.
        certificate: Speak TLS with it.

    Attributes:
        asked: Each request, in order.
    """

    def __init__(self, upstream: str, *, certificate: Certificate | None = None) -> None:
        super().__init__(upstream, certificate=certificate)
        self.asked: list[Asked] = []
        self.script = _WatchedScript(self.asked)


class Reads:
    """Counts reads of some objects from the moment on at which it is made.

    Args:
        proxy: Between Milvus and the store.
        number: Of a collection, as Milvus counts them.
        stored: Its objects. Milvus lays them out by the collection's number, index files by that
            of their build.
    """

    def __init__(self, proxy: WatchedProxy, number: int, stored: list[Stored]) -> None:
        builds = {Path(one.key).parts[-5] for one in stored if one.kind == "index_files"}
        self._below = (
            *(f"/{kind}/{number}/" for kind in ("insert_log", "stats_log")),
            *(f"/index_files/{build}/" for build in builds),
        )
        self._proxy, self._since = proxy, len(proxy.asked)

    def begin(self) -> None:
        """Count from now on."""
        self._since = len(self._proxy.asked)

    def count(self) -> tuple[int, int]:
        """Return how many reads there were, and how many of them a fault was armed for."""
        found = [
            one
            for one in self._proxy.asked[self._since :]
            if one.method == _READ and any(place in one.path for place in self._below)
        ]
        return len(found), sum(one.met for one in found)
