"""A pod's port through the API server, against a server that speaks its part of the protocol."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from test_storage_minio_server import server  # noqa: F401  (a fixture)

from infra.kubernetes.portforward import forwarded
from infra.storage.minio.resources import BucketProvider
from validation.errors import ConfigurationError, CredentialsError

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ApiServer(ThreadingHTTPServer):
    """Forwards to a port of this host what is asked for a pod, over a WebSocket."""

    daemon_threads = True

    def __init__(self, backend: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.backend = backend
        self.paths: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its own name)
        pass

    def do_GET(self) -> None:
        assert isinstance(self.server, ApiServer)
        self.server.paths.append(self.path)
        if not self.server.backend:
            self.send_error(403)
            return
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + _MAGIC).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.wfile.flush()
        port = int(self.path.rpartition("ports=")[2])
        for channel in (b"\0", b"\1"):
            self._send(channel + struct.pack("<H", port))
        with socket.create_connection(("127.0.0.1", self.server.backend)) as pod:
            back = threading.Thread(target=self._pump, args=(pod,), daemon=True)
            back.start()
            while (data := self._receive()) is not None:
                pod.sendall(data[1:])
        self.close_connection = True

    def _pump(self, pod: socket.socket) -> None:
        try:
            while data := pod.recv(65536):
                self._send(b"\0" + data)
        except OSError:
            pass

    def _send(self, payload: bytes) -> None:
        size = len(payload)
        head = bytes([0x82]) + (
            bytes([size])
            if size < 126
            else bytes([126]) + struct.pack(">H", size)
            if size < 65536
            else bytes([127]) + struct.pack(">Q", size)
        )
        self.connection.sendall(head + payload)

    def _receive(self) -> bytes | None:
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 0x0F == 8:
            return None
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(self.rfile.read(2 if size == 126 else 8), "big")
        mask = self.rfile.read(4)
        body = self.rfile.read(size)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


@pytest.fixture
def api():
    servers = []

    def start(backend: int) -> tuple[ApiServer, dict[str, str]]:
        running = ApiServer(backend)
        servers.append(running)
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        return running, props(running.server_address[1])

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


def props(port: int) -> dict[str, str]:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "planted-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    return {"namespace": "ns", "kubeconfig": yaml.safe_dump(kubeconfig)}


def test_bucket_is_made_over_tls_through_the_api_server(api, server):  # noqa: F811  (the fixture)
    running, access = api(server["port"])
    bucket = {key: value for key, value in server.items() if key != "address"}
    bucket |= access | {"pod": "minio-0", "bucket": "forwarded"}
    BucketProvider().create(bucket)
    assert BucketProvider().read("forwarded", bucket).id == "forwarded"
    BucketProvider().delete("forwarded", bucket)
    assert BucketProvider().read("forwarded", bucket).id == ""
    path = "/api/v1/namespaces/ns/pods/minio-0/portforward"
    assert {one.partition("?")[0] for one in running.paths} == {path}


def test_large_bodies_pass_whole(api):
    with socket.create_server(("127.0.0.1", 0)) as echo:

        def answer():
            connection, _ = echo.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        threading.Thread(target=answer, daemon=True).start()
        _, access = api(echo.getsockname()[1])
        sent = bytes(range(256)) * 1024
        with forwarded(access, "pod", 9000) as pod:
            writer = threading.Thread(target=pod.sendall, args=(sent,))
            writer.start()
            got = b""
            while len(got) < len(sent):
                got += pod.recv(65536)
            writer.join(120)
        assert got == sent


def test_refusal_names_pod_and_permission(api):
    _, access = api(0)
    with (
        pytest.raises(CredentialsError, match="answers 403 Forbidden") as caught,
        forwarded(access, "minio-0", 9000),
    ):
        pass
    assert "ns/minio-0" in str(caught.value)
    assert "pods/portforward" in str(caught.value)
    assert "planted-token" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "clusters: []", "not a kubeconfig"])
def test_kubeconfig_that_cannot_be_used_is_named_and_not_shown(text):
    access = {"namespace": "ns", "kubeconfig": f"{text} # planted"}
    with (
        pytest.raises(ConfigurationError, match="kubeconfig") as caught,
        forwarded(access, "pod", 9000),
    ):
        pass
    assert "planted" not in str(caught.value)
