"""What this client could do, measured against a server that does nothing, in the same run."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from validation.common import host
from validation.load.loops import closed_loop
from validation.load.plan import Plan
from validation.load.slo import null_server
from validation.load.starvation import EASY_CPU
from validation.milvus.wire import Endpoint

SEARCHES = 2_000
UNDER_WAY = 1
"""One after the other each search costs a wake-up, as it does at a rate; many at once share one."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A client's own cost.

    Args:
        cpu_s: CPU seconds of the client for one search.
        rate: Searches a second that it got answered.
    """

    cpu_s: float
    rate: float

    @property
    def could_send(self) -> float:
        """Searches a second that clients on all cores of this host send without queueing."""
        return EASY_CPU * host.cores() / self.cpu_s

    def why_void(self, rate: float) -> str:
        """Return that a rate is beyond what this host's clients can tell; empty if it is not."""
        if rate <= self.could_send:
            return ""
        hosts = math.ceil(rate / self.could_send)
        return (
            f"{rate:,.0f} searches/s is more than clients of this host send without queueing "
            f"({self.could_send:,.0f}/s at {self.cpu_s * 1e6:.0f} us each); it takes {hosts} such "
            "hosts"
        )

    def evidence(self) -> dict[str, Any]:
        """Return what a report shows."""
        return {
            "client_cpu_us_a_search": round(self.cpu_s * 1e6, 1),
            "client_rate_against_nothing": round(self.rate, 1),
            "client_could_send": round(self.could_send, 1),
        }


def calibrate(plan: Plan) -> Calibration:
    """Send a plan's requests to a server that answers each with as many hits, at once.

    Args:
        plan: What is measured in the same run.

    Raises:
        MeasurementError: The client or the server ended.
    """
    with null_server.running(reply_of(plan.most or max(plan.hits))) as address:
        nowhere = dataclasses.replace(plan, endpoint=Endpoint("null server", address))
        samples = closed_loop(
            nowhere, n=SEARCHES, under_way=UNDER_WAY, warmup=200, max_seconds=30.0
        )
    cpu = sum(use.cpu for use in samples.uses) / max(1, samples.n)
    return Calibration(cpu, samples.n / samples.seconds)


def reply_of(k: int) -> bytes:
    """Return an answer to a search with k hits."""
    from pymilvus.grpc_gen.milvus_pb2 import SearchResults  # noqa: PLC0415  (slow to import)

    reply = SearchResults()
    reply.results.num_queries, reply.results.top_k = 1, k
    reply.results.topks.append(k)
    reply.results.ids.int_id.data.extend(range(k))
    reply.results.scores.extend(np.arange(k, dtype=np.float32).tolist())
    return reply.SerializeToString()
