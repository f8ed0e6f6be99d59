"""Milvus's own metrics: the Prometheus text of ``/metrics``, and what it gained between two reads.

Which families there are depends on the server's version, its role, and on what it has done so far:
a family that is absent was *not measured*, never zero.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from validation.common.proxies import passed_over
from validation.common.trust import accept_issuers
from validation.errors import MeasurementError, UnreachableError, UnsupportedError
from validation.target import Milvus

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 64 << 20

Labels = frozenset[tuple[str, str]]
# OpenMetrics appends exemplars behind a hash.
_SAMPLE = re.compile(
    r"(?P<name>[A-Za-z_:][\w:]*)\s*"
    r'(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?'
    r"\s+(?P<value>\S+)(?:\s+-?[\d.]+)?\s*(?:#.*)?"
)
_LABEL = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All samples of one scrape.

    Args:
        samples: By name, as it stands in the text (``..._sum``, ``..._count``, ``..._bucket``), and
            by labels.
        source: Where they come from, for errors.
    """

    samples: Mapping[str, Mapping[Labels, float]] = dataclasses.field(repr=False)
    source: str = "/metrics"

    def matching(self, name: str, **labels: str) -> dict[Labels, float]:
        """Return the samples of a name that carry these labels; empty if there are none."""
        wanted = set(labels.items())
        return {key: value for key, value in self.samples.get(name, {}).items() if wanted <= key}

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples of a name that carry these labels; None without any."""
        found = self.matching(name, **labels)
        return math.fsum(found.values()) if found else None

    def has(self, prefix: str) -> bool:
        """Return whether the server has any name that starts with a prefix."""
        return any(name.startswith(prefix) for name in self.samples)

    def values_of(self, label: str, *, prefix: str) -> set[str]:
        """Return which values a label has among the names that start with a prefix."""
        return {
            value
            for name, series in self.samples.items()
            if name.startswith(prefix)
            for key in series
            for found, value in key
            if found == label
        }


@dataclasses.dataclass(frozen=True)
class Delta:
    """What counters and histograms gained between two scrapes of the same process."""

    before: Snapshot
    after: Snapshot

    def gain(self, name: str, **labels: str) -> float | None:
        """Return what the samples of a counter gained; None if the server does not have it.

        A sample that first shows in the later scrape has gained all it holds: Prometheus clients
        make labelled samples when they first count.

        Raises:
            MeasurementError: The counter ran backwards.
        """
        after = self.after.total(name, **labels)
        if after is None:
            return None
        gained = after - (self.before.total(name, **labels) or 0.0)
        if gained < 0:
            raise MeasurementError(
                "a counter ran backwards, so what it gained is unknown",
                where=f"{self.after.source}: {name}",
                remedy="measure again; give the address of one process, not of a balancer",
            )
        return gained


def scrape(
    milvus: Milvus,
    *,
    address: str = "",
    only: tuple[str, ...] = (),
) -> Snapshot:
    """Read the metrics of one process of a target's Milvus.

    Args:
        milvus: How it is reached; ``metrics_uri`` is the base URL.
        address: Which of the addresses that its host stands for; whichever answers if left out.
        only: Names start with one of these; all names if empty.

    Raises:
        UnsupportedError: The target declares no ``metrics_uri``.
        UnreachableError: Nothing answers there, or with an error.
        MeasurementError: What answers are no metrics.
    """
    import httpx  # noqa: PLC0415  (slow to import)

    if milvus.metrics_uri is None:
        raise UnsupportedError(
            "the target declares no address for Milvus's metrics",
            where="milvus.metrics_uri",
            remedy="give the base URL that serves /metrics, usually http://HOST:9091",
        )
    url = milvus.metrics_uri.rstrip("/") + "/metrics"
    try:
        with (
            httpx.Client(
                timeout=TIMEOUT_SECONDS, verify=_trust(milvus, url), trust_env=False
            ) as client,
            client.stream("GET", at_address(url, address), **as_named(url)) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise UnreachableError(
                    "Milvus's metrics are not served at this address",
                    where=f"{url} at {address}" if address else url,
                    seen=f"HTTP {answer.status_code}",
                    remedy="correct milvus.metrics_uri: the base URL, without /metrics",
                )
            text = _bounded(answer.iter_bytes(), url)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        raise UnreachableError(
            f"Milvus's metrics cannot be read: {type(error).__name__}",
            where=f"{url} at {address}" if address else url,
            remedy=passed_over("check milvus.metrics_uri (usually port 9091) and the way there"),
        ) from None
    return parse(text, only=only, source=url)


def at_address(url: str, address: str) -> str:
    """Return a URL with one address in the place of the name that stands for it."""
    if not address:
        return url
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()


def as_named(url: str) -> dict[str, Any]:
    """Return what makes a request to one address the same as one to the name."""
    parts = urlsplit(url)
    return {
        "headers": {"Host": parts.netloc},
        "extensions": {"sni_hostname": parts.hostname or ""},
    }


def _trust(milvus: Milvus, url: str) -> ssl.SSLContext:
    tls = milvus.tls
    file = str(tls.ca_file.expanduser()) if tls.ca_file else None
    return _context(file, tls.ca_pem) if url.startswith("https:") else _context(None, None)


@functools.cache
def _context(ca_file: str | None, ca_pem: str | None) -> ssl.SSLContext:
    """Return TLS settings; made once, since it takes longer than a scrape."""
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_pem)
    accept_issuers(context)
    return context


def _bounded(pieces: Iterator[bytes], url: str) -> str:
    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) > MAX_BYTES:
            raise MeasurementError(
                f"what is served as metrics is larger than {MAX_BYTES >> 20} MiB", where=url
            )
    return text.decode("utf-8", errors="replace")


def parse(text: str, *, only: tuple[str, ...] = (), source: str = "/metrics") -> Snapshot:
    """Return the samples in Prometheus's text format 0.0.4 (or OpenMetrics, which adds to it).

    Args:
        text: What ``/metrics`` answered.
        only: As in `scrape`; lines of other names are passed over unread.
        source: Where it came from, for errors.

    Raises:
        MeasurementError: A line is neither a comment nor a sample, or there is no sample at all.
    """
    samples: dict[str, dict[Labels, float]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if only and not line.startswith(only):
            continue
        try:
            name, labels, value = _sample(line)
        except ValueError:
            raise MeasurementError(
                "this is not Prometheus's text format",
                where=f"{source}, line {number}",
                seen=line,
                remedy="check that milvus.metrics_uri leads to Milvus itself",
            ) from None
        samples.setdefault(name, {})[labels] = value
    if not samples and not only:
        raise MeasurementError("there is not a single metric", where=source)
    return Snapshot(samples, source)


def _sample(line: str) -> tuple[str, Labels, float]:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(line)
    return found["name"], _labels(found["labels"] or ""), float(found["value"])


def _labels(text: str) -> Labels:
    labels, at = [], 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            if not text[at:].strip():
                break
            raise ValueError(text)
        plain = re.sub(r"\\.", lambda one: _ESCAPES.get(one.group(), one.group()), found[2])
        labels.append((found[1], plain))
        at = found.end()
    return frozenset(labels)


def between(before: Snapshot, after: Snapshot) -> Delta:
    """Return what was gained between two scrapes.

    Raises:
        MeasurementError: Not the same process answered both times.
    """
    started = [one.total("process_start_time_seconds") for one in (before, after)]
    if started[0] != started[1]:
        raise MeasurementError(
            "another Milvus process answers than before: it was restarted, or there are several",
            where=after.source,
            remedy="give the address of one process, or measure again",
        )
    return Delta(before, after)
