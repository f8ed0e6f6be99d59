"""Faults of machines, planted for real on this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from validation.runs.profiles import Profile
from validation.selftest.fault import Fault, metrics
from validation.selftest.scene import HOSTS
from validation.target import Target

_IN_MEMORY = "/dev/shm"  # noqa: S108  (a file system of the kernel's own, wherever Linux runs)
_AHEAD_SECONDS = 7
_DATE = """#!/bin/sh
exec {date} -d "+{ahead} seconds" "$@"
"""


@contextlib.contextmanager
def _diskann_in_memory(target: Target, _: Profile) -> Iterator[Target]:
    """Declare that DiskANN has its files in a folder that is on no NVMe."""
    hosts = tuple(one.model_copy(update={"nvme": _IN_MEMORY}) for one in target.hosts)
    yield target.model_copy(update={"hosts": hosts})


@contextlib.contextmanager
def _clock_ahead(target: Target, _: Profile) -> Iterator[Target]:
    """Let this machine's ``date`` be ahead of its time."""
    with tempfile.TemporaryDirectory(prefix="milvus-kit-") as folder:
        date = Path(folder, "date")
        date.write_text(_DATE.format(date=shutil.which("date"), ahead=_AHEAD_SECONDS), "utf-8")
        date.chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{path}"
        try:
            yield target
        finally:
            os.environ["PATH"] = path


@contextlib.contextmanager
def _no_room_to_connect(target: Target, _: Profile) -> Iterator[Target]:
    """Declare a store at a port whose queue is full: the kernel drops what would connect."""
    assert target.storage is not None  # noqa: S101  (the embedded stack always has a store)
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _number in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        endpoint = f"http://127.0.0.1:{full.getsockname()[1]}"
        storage = target.storage.model_copy(update={"endpoint": endpoint})
        yield target.model_copy(update={"storage": storage})


FAULTS = (
    Fault(
        "diskann-in-memory",
        f"the files of DiskANN are to lie in {_IN_MEMORY}, which is no NVMe",
        metrics("hosts.unfit"),
        plant=_diskann_in_memory,
        scene=HOSTS,
    ),
    Fault(
        "clock-ahead",
        f"the machine's clock is {_AHEAD_SECONDS} s ahead",
        metrics("hosts.clock_off"),
        plant=_clock_ahead,
        scene=HOSTS,
    ),
    Fault(
        "dropped-connections",
        "packets that open connections to the store are dropped",
        metrics("hosts.store_lost"),
        plant=_no_room_to_connect,
        scene=HOSTS,
    ),
)
