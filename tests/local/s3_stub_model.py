"""What the S3 stub keeps, and what its parts have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclasses.dataclass
class Version:
    body: bytes
    etag: str
    metadata: dict[str, str]
    time: datetime
    id: str = "null"
    locked_until: datetime | None = None
    deleted: bool = False


@dataclasses.dataclass
class Bucket:
    versioned: bool = False
    lockable: bool = False
    objects: dict[str, list[Version]] = dataclasses.field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = dataclasses.field(default_factory=dict)
    tombs: dict[str, Version] = dataclasses.field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        versions = self.objects.get(key)
        return versions[-1] if versions and not versions[-1].deleted else None


class S3Error(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Request:
    """A request that may be served, and what serves it."""

    http: Any
    stub: Any
    broken: Callable[[str], bool]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    name: str
    key: str
    bucket: Bucket

    def xml(self, name: str, inside: str, status: int = 200) -> None:
        self.http.answer(status, f"<?xml version='1.0'?><{name} {XMLNS}>{inside}</{name}>".encode())

    def keep(self, body: bytes, *, etag: str = "") -> Version:
        """Make an object of the request's key."""
        raise NotImplementedError

    def remove(self, key: str) -> None:
        """Delete an object."""
        raise NotImplementedError
