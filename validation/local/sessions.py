"""Sessions of a Milvus that has ended, in its own etcd, which ends with it.

Each role of Milvus has a lease in etcd, and one that comes up waits until its predecessor's has run
out. An etcd that was away begins to count anew when it is back, so that each restart would take the
lease's whole time. Whoever knows that a process has ended may revoke its leases; so does this, with
those that were noted before it ended, and no others.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from validation.common import files

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_FIRST, _BEYOND = b"by-dev/meta/session/", b"by-dev/meta/session0"
_ASKED_SECONDS, _PAUSE_SECONDS, _WAIT_SECONDS = 2.0, 0.1, 15.0
_NOT_THERE = 404


def note(folder: Path, port: int) -> None:
    """Write down the leases of a Milvus that is about to end; nothing where its etcd is silent.

    Args:
        folder: Of the stack.
        port: Of etcd's clients, on loopback.
    """
    wanted = {"key": _encoded(_FIRST), "range_end": _encoded(_BEYOND), "keys_only": True}
    with contextlib.suppress(OSError, ValueError):  # they run out by themselves
        found = _asked(port, "kv/range", wanted).get("kvs") or []
        leases = sorted({one["lease"] for one in found if "lease" in one})
        files.write_whole(_noted(folder), json.dumps(leases))


def end(folder: Path, port: int, alive: Callable[[], bool]) -> None:
    """Revoke the leases that were noted, as soon as etcd is back.

    What cannot be revoked runs out by itself, later.

    Args:
        folder: Of the stack.
        port: Of etcd's clients, on loopback.
        alive: Whether the server that brings etcd back still runs.
    """
    try:
        leases = json.loads(_noted(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    _noted(folder).unlink()
    until = time.monotonic() + _WAIT_SECONDS
    while leases and alive() and time.monotonic() < until:
        try:
            _asked(port, "lease/revoke", {"ID": leases[-1]})
        except (OSError, ValueError) as error:
            if getattr(error, "code", None) != _NOT_THERE:  # it has no leader yet
                time.sleep(_PAUSE_SECONDS)
                continue
        leases.pop()


def _noted(folder: Path) -> Path:
    return folder / "milvus" / "sessions.json"


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _asked(port: int, what: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Ask etcd through its gateway for JSON.

    Raises:
        OSError: It does not answer, or refuses.
        ValueError: It answers something else.
    """
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v3/{what}", data=json.dumps(wanted).encode()
    )
    try:
        with _DIRECTLY.open(request, timeout=_ASKED_SECONDS) as answer:
            return dict(json.load(answer))
    except (HTTPException, TypeError) as error:
        raise ValueError(f"port {port} does not answer as etcd's gateway does: {error}") from error
