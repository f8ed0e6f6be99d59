"""Addresses as people write them: read whole or refused, never in part.

A port of 0, a path or a query that is passed over would lead to another server, database or bucket
than the one meant, and that one would be measured.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
_NUMBERS = re.compile(r"[0-9.]+")
_HIGHEST_PORT = 65_535


@dataclasses.dataclass(frozen=True)
class Address:
    """An ``http(s)`` address.

    Args:
        scheme: ``http`` or ``https``.
        host: Name or IP address, without brackets.
        port: None if it was left out.
        path: Without slashes at its ends; empty if there is none.
    """

    scheme: str
    host: str
    port: int | None
    path: str = ""

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken there."""
        return self.scheme == "https"

    @property
    def numeric(self) -> bool:
        """Whether the host is an IP address, below which no name can stand."""
        return is_ip(self.host)

    @property
    def netloc(self) -> str:
        """Host and port as they were given."""
        return netloc(self.host, self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}" + (f"/{self.path}" if self.path else "")


def netloc(host: str, port: int | None) -> str:
    """Return host and port as they stand in a URL: an IPv6 address in brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def is_ip(host: str) -> bool:
    """Return whether a host is an IP address."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    # With a zone, such as fe80::1%eth0, it means something on one host alone.
    return getattr(found, "scope_id", None) is None


def host(text: str) -> str:
    """Return a host alone, as certificates name it: no brackets, no dot at its end.

    Raises:
        ValueError: It is none, or more than one.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if is_ip(bare):
        return str(ipaddress.ip_address(bare))
    if not _is_name(bare):
        hint = " alone: its port has a key of its own" if re.search(r":\d+$", bare) else ""
        raise ValueError(
            f"this is no host's name or address{hint}; write milvus.example.com or 10.0.0.5"
        )
    return bare.removesuffix(".")


def host_and_port(text: str) -> str:
    """Return a host and its port, as `netloc` does.

    Raises:
        ValueError: It is no such pair.
    """
    name, _, port = text.rpartition(":")
    bracketed = ":" not in name or name.startswith("[")
    try:
        if bracketed and not _is_wrong_port(f":{port}"):
            return netloc(host(name), int(port))
    except ValueError:
        pass
    raise ValueError("this is no host and port; write kafka.example.com:9092 or [fd00::5]:9092")


def split(text: str) -> tuple[str, int]:
    """Return host and port of what `host_and_port` has returned."""
    name, _, port = text.rpartition(":")
    return name.strip("[]"), int(port)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text) and not _NUMBERS.fullmatch(text))


def parsed(text: str, *, example: str, path: bool = False) -> Address:
    """Return an address.

    Args:
        text: As it was given.
        example: What is wanted, for the error, such as ``http://HOST:19530``.
        path: Whether it may have one.

    Raises:
        ValueError: With what is wrong, what was seen and an example; credentials are not shown.
    """
    wrong = _wrong(text, path=path)
    if wrong:
        seen = "" if "@" in text else f" (seen: {text!r})"
        raise ValueError(f"{wrong}; write {example}{seen}")
    parts = urlsplit(text)
    return Address(parts.scheme, parts.hostname or "", parts.port, parts.path.strip("/"))


def _wrong(text: str, *, path: bool) -> str:
    """Return why this is no address; empty if it is one."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return "this is no address"
    named = is_ip(host) or _is_name(host)
    wrongs = {
        "an address holds no white space": re.search(r"[\s\x00-\x1f]", text),
        "the address holds credentials; give them as references of their own": "@" in parts.netloc,
        "an address starts with http:// or https://, then the host": parts.scheme
        not in {"http", "https"}
        or not host,
        "no host has this name": not named,
        "an address has no query and no fragment: they would be passed over": re.search(
            "[?#]", text
        ),
        "this address has no path: it would be passed over": parts.path.strip("/") and not path,
        f"a port is a number from 1 to {_HIGHEST_PORT}": _is_wrong_port(parts.netloc),
    }
    return next((what for what, wrong in wrongs.items() if wrong), "")


def _is_wrong_port(where: str) -> bool:
    after = where.rpartition("]")[2]
    port = after.rpartition(":")[2]
    right = re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= _HIGHEST_PORT
    return ":" in after and not right
