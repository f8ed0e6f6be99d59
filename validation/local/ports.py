"""Ports of the embedded stack: choosing them, and proving whose they are."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from validation.errors import EmbeddedStackError, UsageError

RANGE = range(20_000, 30_000)
"""Below the kernel's ephemeral ports (32768 and up) and Kubernetes' node ports (30000 and up), so
that no outgoing connection takes a port between our choosing and the server's binding it."""

_ATTEMPTS = 2_000
_LISTEN = "0A"
_reservations: list[socket.socket] = []


def pick(names: Iterable[str], chosen: dict[str, int] | None = None) -> dict[str, int]:
    """Return a free port for each name; no other run draws it while this process lives.

    Args:
        names: What ports are needed for.
        chosen: Ports the user asked for; they are kept, and have to be free.

    Raises:
        UsageError: A chosen port is in use, or chosen twice.
        EmbeddedStackError: No free port was found.
    """
    chosen = dict(chosen or {})
    for name, port in chosen.items():
        require_free(port, name)
        if list(chosen.values()).count(port) > 1:
            raise UsageError(
                f"the port for {name} is chosen twice", seen=port, remedy="choose another"
            )
    wanted = [name for name in names if name not in chosen]
    taken = set(chosen.values())
    generator = random.SystemRandom()  # two stacks started together must not draw alike
    for _ in range(_ATTEMPTS):
        if not wanted:
            return chosen
        port = generator.choice(RANGE)
        if port not in taken and is_free(port) and _reserve(port):
            taken.add(port)
            chosen[wanted.pop()] = port
    raise EmbeddedStackError(
        "no free port was found",
        where=f"127.0.0.1:{RANGE.start}-{RANGE.stop - 1}",
        remedy="`ss -ltn` shows what listens there",
    )


def _reserve(port: int) -> bool:
    """Keep a port from being drawn again, by this process or another, until this one ends.

    Seconds pass between drawing a port and the server's binding it. An abstract name leaves no
    file, is seen by every user, and belongs to a network namespace as a port does; only Linux has
    them, and elsewhere two runs meet as rarely as two draws of 10,000 do.
    """
    if sys.platform != "linux":
        return True
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0milvus-kit-port-{port}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    return True


def _free(port: int) -> OSError | None:
    """Return why a port cannot be bound on all interfaces and on loopback; None if it can."""
    for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104  (the probe is closed at once)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                return error if isinstance(error, OSError) else OSError(0, str(error))
    return None


def is_free(port: int) -> bool:
    """Return whether a port can be bound now."""
    return _free(port) is None


def require_free(port: int, purpose: str) -> None:
    """Make sure that a port the user chose can be bound.

    Raises:
        UsageError: It cannot, with what to do.
    """
    error = _free(port)
    if error is not None:
        raise UsageError(
            f"the port for {purpose} cannot be used: {error.strerror}",
            where=f"127.0.0.1:{port}",
            remedy=f"`ss -ltnp 'sport = :{port}'` shows who has it; stop that or choose another",
        )


def listens(pid: int, port: int) -> bool:
    """Return whether this very process listens on a port.

    An answer from a port proves nothing: another server may have taken it first.
    """
    wanted = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _sockets(Path(f"/proc/{pid}/net/{table}"))
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
    }
    links = _links(Path(f"/proc/{pid}/fd"))
    return any(f"socket:[{inode}]" in links for inode in wanted)


def _links(descriptors: Path) -> set[str]:
    """Return what a process's file descriptors are; those closed meanwhile are passed over."""
    links = set()
    with contextlib.suppress(OSError):  # the process ended
        for link in descriptors.iterdir():
            with contextlib.suppress(OSError):
                links.add(str(link.readlink()))
    return links


def answers(port: int) -> bool:
    """Return whether anything accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sockets(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return []
