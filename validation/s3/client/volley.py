"""Requests that reach a store at the same moment.

Signing them takes longer than a store takes to answer one. So all are signed first, and then sent
one right after the other on connections that are open already: between the first and the last pass
fractions of a millisecond, whatever this host has to do besides.
"""

from __future__ import annotations

import http.client
import select
from collections.abc import Sequence
from contextlib import closing

from validation.errors import UnreachableError
from validation.s3.client.endpoint import READ_SECONDS, endpoint_of, tls_context
from validation.s3.client.patience import MOST_BYTES, whole_body, with_deadline
from validation.s3.client.wire import Reply, Request, signed, unconnected
from validation.target import Storage


class Volley:
    """Connections to a store, kept open from one volley to the next. Close it in the end.

    Args:
        storage: The store.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._tls = tls_context(storage) if endpoint_of(storage).tls else None
        self._lines: list[http.client.HTTPConnection] = []

    def fire(self, requests: Sequence[Request]) -> list[Reply | UnreachableError]:
        """Send requests at once and return how each was answered, or why it was not.

        A request is never sent twice: the store may have done what was asked and not told.

        Raises:
            UnreachableError: No connection can be had, and nothing was sent.
        """
        texts = [_text(self._storage, one) for one in requests]
        self._connect(len(texts))
        lines = self._lines[: len(texts)]
        sent: list[OSError | None] = []
        for line, text in zip(lines, texts, strict=True):
            try:
                line.sock.sendall(text)
                sent.append(None)
            except OSError as error:  # it may have refused the head, and have answered
                sent.append(error)
        return [
            self._reply(line, request.method, error)
            for line, request, error in zip(lines, requests, sent, strict=True)
        ]

    def close(self) -> None:
        """Close all connections."""
        for line in self._lines:
            line.close()

    def _connect(self, count: int) -> None:
        """Open connections until there are as many, and those anew that the store has closed."""
        while len(self._lines) < count:
            self._lines.append(unconnected(self._storage, READ_SECONDS, self._tls))
        for line in self._lines[:count]:
            # What can be read before anything was asked is the end.
            if line.sock is not None and select.select([line.sock], [], [], 0)[0]:
                line.close()
            if line.sock is None:
                try:
                    line.connect()
                except OSError as error:
                    raise self._silent("no connection", error) from None

    def _reply(
        self, line: http.client.HTTPConnection, method: str, error: OSError | None
    ) -> Reply | UnreachableError:
        try:
            answer = with_deadline(line, READ_SECONDS).response_class(line.sock, method=method)
            with closing(answer):
                answer.begin()
                found = {name.lower(): value for name, value in answer.getheaders()}
                reply = Reply(answer.status, found, whole_body(answer, MOST_BYTES))
                # Who refuses a body need not have read it, and closes without a word then.
                if answer.will_close or error is not None or not reply.ok:
                    line.close()
                return reply
        except (OSError, http.client.HTTPException) as failed:
            line.close()
            return self._silent(f"{method} got no answer", error or failed)

    def _silent(self, what: str, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"{what}: {type(error).__name__}: {error}",
            where=self._storage.endpoint,
            remedy="check the network path and the store's log",
        )


def _text(storage: Storage, request: Request) -> bytes:
    target, headers, body = signed(storage, request)
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
