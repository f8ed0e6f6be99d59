"""A small S3 server in memory that can break one rule at a time.

Without a fault it keeps every rule the preflight checks. A fault carries the name of the check that
must notice it, and breaks that rule in one place (look for ``broken``), so narrowly that no other
check sees it. What tells a fault's victims apart from other requests is often the content that a
check writes: that is on purpose, since rules of S3 hang together and a fault has to be precise.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from s3_stub_model import Bucket, S3Error
from s3_stub_store import Operations

from validation.s3.client.checksums import ALGORITHMS, checksum, content_md5
from validation.s3.client.endpoint import Keys
from validation.s3.client.signing import Payload, Signer

REGION = "us-east-1"
OUTSIDER = Keys("outsider-key", "outsider-secret-key")
"""A key that may do everything everywhere."""


class Stub(ThreadingHTTPServer):
    """The server; ``faults`` may be changed while it runs."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, keys: Keys) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys = keys
        self.faults: set[str] = set()
        self.no_hosts = False
        self.busy = 0
        """How many of the next requests are answered with 503."""
        self.busy_reads = 0
        """How many of the next GETs of objects are."""
        self.connections: list[socket.socket] = []
        self.lock = threading.RLock()
        self.checked = threading.Condition(self.lock)
        self.ids = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Forget every object; make the buckets anew."""
        self.buckets = {
            "milvus": Bucket(),
            "tenant": Bucket(),
            "versioned": Bucket(versioned=True),
            "backup": Bucket(versioned=True, lockable=True),
        }
        self.once: set[str] = set()
        self.writers: Counter[str] = Counter()
        """By key, how many have checked that it is absent and are about to write it."""
        self.completing: Counter[str] = Counter()
        """By key, how many uploads are being completed."""
        self.completed: dict[str, str] = {}
        """By upload that is done, the ETag of what it made."""
        self.uploaded: set[str] = set()
        """Keys that an upload was begun for."""
        self.read: set[str] = set()
        self.missed: dict[str, float] = {}
        """Keys that were asked for and absent, and when."""
        self.listings, self.reads = itertools.count(1), itertools.count(1)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def broken(self, fault: str) -> bool:
        return fault in self.faults

    def first(self, what: str) -> bool:
        """Tell whether this is the first time that something happens."""
        if what in self.once:
            return False
        self.once.add(what)
        return True

    def process_request(self, request, client_address) -> None:
        if isinstance(request, socket.socket):
            self.connections.append(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """Break every open connection, as a server that dies does."""
        for one in self.connections:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address) -> None:
        del request, client_address  # clients that hang up are none of our business


@contextlib.contextmanager
def serving(keys: Keys) -> Iterator[Stub]:
    stub = Stub(keys)
    thread = threading.Thread(target=stub.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        stub.server_close()
        thread.join(120)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Stub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
        del format, args  # requests are many, and checked by their answers

    def _serve(self) -> None:
        self.raw = self._received()
        self.lower = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        self.encoded_path = parts.path
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = unquote(parts.path)
        if self.server.broken("objects.key-slashes"):
            path = re.sub("//+", "/", path)
        if self.server.broken("objects.key-characters"):
            path = path.replace("+", " ")
        host = self.lower["host"].split(":")[0]
        if not re.fullmatch(r"[\d.]+|localhost", host) and not self.server.no_hosts:
            path = f"/{host.split('.')[0]}{path}"
        self.bucket_name, _, self.key = path.lstrip("/").partition("/")
        try:
            with self.server.lock:
                self._refuse_if_busy()
                self._authenticate()
                self.body = self._body()
                self._authorise()
                Operations(self).run()
        except S3Error as error:
            self.fail(error)

    def _received(self) -> bytes:
        """Return the body as it came, without the chunks of its transfer."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815  (the base's names)

    def _refuse_if_busy(self) -> None:
        if self.server.busy:
            self.server.busy -= 1
            raise S3Error(503, "SlowDown")
        if self.server.busy_reads and self.command == "GET" and self.key:
            self.server.busy_reads -= 1
            raise S3Error(503, "SlowDown")
        stranger = self.server.keys.access not in self.lower.get("authorization", "")
        if stranger and self.server.broken("strangers are throttled"):
            raise S3Error(429, "TooManyRequests")

    def fail(self, error: S3Error) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{error.code}</Code></Error>"
        self.answer(error.status, b"" if self.command == "HEAD" else text.encode())

    def answer(
        self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response_only(status)
        more = {"Date": format_datetime(datetime.now(UTC), usegmt=True), "Server": "stub"}
        headers = {"Content-Length": str(len(body)), **more, **(headers or {})}
        if status not in {204, 304}:
            headers.setdefault("Content-Type", "application/xml")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # --- who asks, and is the body what was signed

    def _authenticate(self) -> None:
        server = self.server
        self.seed, self.signer, self.anonymous, self.outsider = "", None, False, False
        if "X-Amz-Signature" in self.query:
            self._presigned()
            return
        text = self.lower.get("authorization", "")
        found = re.match(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,\s*"
            r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)",
            text,
        )
        if found is None:
            self.anonymous = True
            listing = self.command == "GET" and not self.key and "location" not in self.query
            if listing and server.broken("access.anonymous"):
                return
            raise S3Error(403, "AccessDenied")
        access, _, region, names, signature = found.groups()
        if region != REGION:
            if server.broken("addressing.region"):
                raise S3Error(500, "InternalError")
            raise S3Error(400, "AuthorizationHeaderMalformed")
        self.outsider = access == OUTSIDER.access
        keys = OUTSIDER if self.outsider else server.keys
        if access != keys.access and server.broken("access.unknown-key"):
            return
        if access != keys.access:
            raise S3Error(403, "InvalidAccessKeyId")
        now = _parsed(self.lower["x-amz-date"])
        late = abs(datetime.now(UTC) - now) > timedelta(minutes=15)
        if late and not server.broken("addressing.clock-skew"):
            raise S3Error(403, "RequestTimeTooSkewed")
        self.signer, self.seed = Signer(keys, region, now), signature
        query = dict(self.query)
        headers = {name: self.lower[name] for name in names.split(";")}
        wanted = self.signer.signature(
            self.command, self.encoded_path, query, headers, self.lower["x-amz-content-sha256"]
        )
        if wanted != signature and not server.broken("access.wrong-secret"):
            raise S3Error(403, "SignatureDoesNotMatch")

    def _presigned(self) -> None:
        server, query = self.server, dict(self.query)
        if server.broken("no link works"):
            raise S3Error(403, "AccessDenied")
        signature = query.pop("X-Amz-Signature")
        made = _parsed(query["X-Amz-Date"])
        until = made + timedelta(seconds=int(query["X-Amz-Expires"]))
        if datetime.now(UTC) > until and not server.broken("access.presigned-expired"):
            raise S3Error(403, "AccessDenied")
        headers = {name: self.lower[name] for name in query["X-Amz-SignedHeaders"].split(";")}
        signer = Signer(server.keys, REGION, made)
        wanted = signer.signature(
            self.command, self.encoded_path, query, headers, Payload.UNSIGNED.value
        )
        if wanted != signature and not server.broken("access.presigned-tampered"):
            raise S3Error(403, "SignatureDoesNotMatch")

    def _authorise(self) -> None:
        server = self.server
        if self.outsider:
            return
        if self.bucket_name == "tenant" and server.broken("a tenant's bucket has a bad name"):
            raise S3Error(400, "InvalidBucketName")
        if self.bucket_name == "tenant":
            if not server.broken("access.other-bucket"):
                raise S3Error(403, "AccessDenied")
            return
        self._refuse_the_whole_bucket()
        inside = (self.key or self.query.get("prefix", "files/")).startswith("files/")
        if self.command == "DELETE" and server.broken("whatever is there may be deleted"):
            return
        there = self.bucket_name == "milvus" and self.key in server.buckets["milvus"].objects
        if self.command == "GET" and there and server.broken("whatever is there may be read"):
            return
        if not inside and not server.broken("access.other-prefix"):
            raise S3Error(403, "AccessDenied")
        if self.query.keys() & {"versioning", "object-lock"} and server.broken("settings are kept"):
            raise S3Error(403, "AccessDenied")

    def _refuse_the_whole_bucket(self) -> None:
        """Refuse listings that are not confined to a prefix."""
        whole = self.command == "GET" and not self.key and "prefix" not in self.query
        listing = whole and not self.query.keys() & {"location", "versioning", "object-lock"}
        if "versions" in self.query and self.server.broken("versions of all keys may be listed"):
            return
        if listing and not self.server.broken("access.other-names"):
            raise S3Error(403, "AccessDenied")

    def _body(self) -> bytes:
        server, body, headers = self.server, self.raw, self.lower
        said = headers.get("x-amz-content-sha256", "")
        if said in {Payload.CHUNKS, Payload.CHUNKS_TRAILER, Payload.UNSIGNED_TRAILER}:
            body = self._unframed(Payload(said))
        elif said == Payload.UNSIGNED and server.broken("integrity.unsigned-payload"):
            raise S3Error(400, "InvalidRequest")
        elif len(said) == 64:
            wrong = hashlib.sha256(body).hexdigest() != said
            if wrong and not server.broken("integrity.signed-payload"):
                raise S3Error(400, "XAmzContentSHA256Mismatch")
        md5 = headers.get("content-md5")
        if md5 and md5 != content_md5(body) and not server.broken("integrity.content-md5"):
            raise S3Error(400, "BadDigest")
        for algorithm in ALGORITHMS:
            value = headers.get(f"x-amz-checksum-{algorithm}")
            right = not value or value == checksum(algorithm, body)
            if not right and not server.broken(f"integrity.{algorithm}"):
                raise S3Error(400, "BadDigest")
        return body

    def _unframed(self, payload: Payload) -> bytes:
        server, rest, parts, previous = self.server, self.raw, [], self.seed
        if server.broken("no body in chunks is taken"):
            raise S3Error(501, "NotImplemented")
        self._refuse_part(payload)
        while True:
            line, _, rest = rest.partition(b"\r\n")
            size_text, _, mark = line.partition(b";chunk-signature=")
            size = int(size_text, 16)
            data, rest = rest[:size], rest[size:]
            if payload is not Payload.UNSIGNED_TRAILER and self.signer is not None:
                previous = self.signer.chunk(previous, data)
                if mark.decode() != previous and not server.broken("integrity.tampered-chunk"):
                    odd = server.broken("what is refused is answered with 500")
                    raise S3Error(500 if odd else 403, "SignatureDoesNotMatch")
                previous = mark.decode()
            if not size:
                break
            parts.append(data)
            rest = rest.removeprefix(b"\r\n")
        body = b"".join(parts)
        for line in rest.split(b"\r\n"):
            name, _, value = line.decode().partition(":")
            if name.startswith("x-amz-checksum-"):
                right = checksum(name.removeprefix("x-amz-checksum-"), body) == value.strip()
                if not right and not server.broken("integrity.wrong-trailer"):
                    raise S3Error(400, "BadDigest")
        faults = {
            Payload.CHUNKS: "integrity.signed-chunks",
            Payload.CHUNKS_TRAILER: "integrity.signed-trailer",
            Payload.UNSIGNED_TRAILER: "integrity.unsigned-trailer",
        }
        other = "partNumber" in self.query or "if-none-match" in self.lower
        return self.raw if server.broken(faults[payload]) and not other else body

    def _refuse_part(self, payload: Payload) -> None:
        """Refuse a part with a trailer, as stores do that want to know its length beforehand."""
        if "partNumber" not in self.query:
            return
        streamed = "transfer-encoding" in self.lower
        if streamed and self.server.broken("integrity.cpp-parts"):
            raise S3Error(411, "MissingContentLength")
        signed = payload is Payload.CHUNKS_TRAILER
        if signed and self.server.broken("integrity.go-parts"):
            raise S3Error(400, "XAmzContentSHA256Mismatch")


def _parsed(timestamp: str) -> datetime:
    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
