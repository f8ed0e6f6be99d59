"""Letting one server trust a private CA without changing the host.

Milvus's client in C++ reads the system's file of certificates and nothing else, whatever it is
told. So the server gets a mount namespace of its own in which another file stands in that place.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SYSTEM_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
"""Where libcurl as built into Milvus looks, on every distribution."""

_MOUNTED = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
_SECONDS = 10


def bundle(ca_pem: str, path: Path) -> Path:
    """Write a file with the system's certificates and one more, and return it."""
    system = SYSTEM_FILE.read_text(encoding="utf-8") if SYSTEM_FILE.is_file() else ""
    path.write_text(f"{system.rstrip()}\n{ca_pem}".lstrip(), encoding="utf-8")
    return path


def within(trusted: Path | None) -> list[str]:
    """Return what stands before a command so that it finds a file in place of the system's.

    The process id stays that of the command. Without root a user namespace is needed too.
    """
    if trusted is None:
        return []
    alone = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    shell = ["sh", "-c", _MOUNTED, "sh", str(trusted), str(SYSTEM_FILE)]
    return ["unshare", "--mount", *alone, *shell]


def environment(trusted: Path | None) -> dict[str, str]:
    """Return what tells clients that do listen."""
    return {} if trusted is None else {"SSL_CERT_FILE": str(trusted)}


def why_not(trusted: Path) -> str:
    """Return why a server cannot be started so on this host; empty if it can."""
    if not SYSTEM_FILE.is_file():
        return f"there is no {SYSTEM_FILE} on this host, so nothing can stand in its place"
    command = [*within(trusted), "cmp", str(trusted), str(SYSTEM_FILE)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a mount namespace cannot be made: {getattr(error, 'strerror', None) or error}"
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        return f"a mount namespace is not permitted here: {said[0][:200]}"
    return ""
