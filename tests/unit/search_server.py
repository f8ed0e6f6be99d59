"""A gRPC server that answers Search as it is told: a real one cannot be made to misbehave."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent import futures

import grpc
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc, schema_pb2

from validation.load.plan import Plan
from validation.milvus.wire import Endpoint


class SearchServer(milvus_pb2_grpc.MilvusServiceServicer):
    """Answers with `hits` hits, after `delay(number)` seconds, with `code` (until a request)."""

    def __init__(self):
        self.hits, self.code = 10, 0
        self.hang_from: int | None = None
        self.code_until: int | None = None
        self.delay: Callable[[int], float] = lambda _: 0.0
        self.seen = []
        self.metadata = []
        self.peers = set()
        self.over = threading.Event()
        self._lock = threading.Lock()

    def Search(self, request, context):  # noqa: N802  (gRPC's name)
        with self._lock:
            number = len(self.seen)
            self.seen.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            self.peers.add(context.peer())
        if self.hang_from is not None and number >= self.hang_from:
            self.over.wait(60)
        time.sleep(self.delay(number))
        answer = milvus_pb2.SearchResults()
        if self.code_until is None or number < self.code_until:
            answer.status.code = self.code
            answer.status.reason = "told to" if self.code else ""
        answer.results.CopyFrom(
            schema_pb2.SearchResultData(num_queries=1, top_k=10, topks=[self.hits])
        )
        return answer


@contextlib.contextmanager
def running(threads=8, *, port=0, options=(), credentials=None):
    """Yield a server and the address it listens on."""
    servicer = SearchServer()
    server = grpc.server(futures.ThreadPoolExecutor(threads), options=options)
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        servicer.over.set()
        server.stop(0).wait(5)


def plan_for(address, *, queries=4, hits=10, deadline=5.0):
    """Return a plan whose requests can be told apart by their collection's name."""
    requests = tuple(
        milvus_pb2.SearchRequest(collection_name=f"q{number}").SerializeToString()
        for number in range(queries)
    )
    endpoint = Endpoint(f"http://{address}", address, token="root:secret")
    return Plan(endpoint, requests, (hits,) * queries, deadline)
