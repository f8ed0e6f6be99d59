"""TLS: a real MinIO behind certificates of a private CA, good ones and bad ones."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import botocore.exceptions
import pytest
import s3_servers
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_s3_bad_endpoints import serving

from tests.waiting import eventually
from validation.errors import ConfigurationError, ExitCode, UnreachableError
from validation.s3.client.boto import connect
from validation.s3.client.wire import exchange
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.faults.proxy import Certificate, FaultProxy
from validation.s3.preflight.reach import reach
from validation.s3.preflight.run import preflight
from validation.s3.speed.performance import Meter, Plan
from validation.s3.workspace import Effort, Workspace, opened
from validation.target import Tls
from validation.verdicts.verdict import Outcome


def certificate(folder, *, names=("127.0.0.1",), days=30, issuer=None, signs=False):
    """Write a certificate signed by a private CA into a folder as MinIO wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    ca_key, ca = issuer or (key, None)
    signs = signs or ca is None
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if ca else "Kit CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n)
                    for n in names
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if signs:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        usage |= {"encipher_only": False, "decipher_only": False, "digital_signature": True}
        builder = builder.add_extension(
            x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
    signed = builder.sign(ca_key, hashes.SHA256())
    folder.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    (folder / "public.crt").write_bytes(signed.public_bytes(pem))
    (folder / "private.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key, signed


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    return folder / "public.crt", certificate(folder)


def hashed_name(ca_file) -> str:
    """Return the name by which OpenSSL finds a certificate in a folder."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("missing tool: openssl")
    command = [tool, "x509", "-subject_hash", "-noout", "-in", str(ca_file)]
    return subprocess.check_output(command, text=True).strip() + ".0"


@contextlib.contextmanager
def behind(folder, authority, **more):
    ca_file, issuer = authority
    certificate(folder / "certs", issuer=issuer, **more)
    with s3_servers.minio(folder, certificates=folder / "certs") as endpoint:
        yield s3_servers.storage(endpoint, "minio", tls={"mode": "server", "ca_file": ca_file})


@pytest.fixture(scope="module")
def tls_store(tmp_path_factory, authority):
    with behind(tmp_path_factory.mktemp("tls"), authority) as storage:
        connect(storage).create_bucket(Bucket="milvus")
        yield storage


def test_plain_http_on_a_tls_port_is_named(tls_store):
    with pytest.raises(UnreachableError, match="speaks TLS and was asked in plain HTTP") as caught:
        reach(s3_servers.storage(tls_store.endpoint.replace("https", "http")))
    assert caught.value.exit_code is ExitCode.UNREACHABLE


LIGHT = Effort(listed_keys=20, page=9, large_bytes=1 << 20, racers=4, races=2, consistency_rounds=8)


def tls_outcomes(profile):
    return {
        one.id.removeprefix("tls."): one.outcome.value
        for one in profile.findings
        if one.id.startswith("tls.")
    }


def test_a_store_behind_a_private_ca_passes_and_the_ca_is_in_the_configuration(tls_store):
    profile = preflight(tls_store, effort=LIGHT)
    assert profile.verdict is Outcome.PASS, profile.reason
    assert set(tls_outcomes(profile).values()) == {"pass"}
    assert profile.finding("tls.trusted").evidence["system_store"] is False
    assert profile.decisions.tls.choice == "ca-file"
    assert "BEGIN CERTIFICATE" in profile.decisions.stack["milvus-kit:storage"]["ca"]["pem"]


def test_the_issuing_ca_alone_is_trusted_by_every_client_whatever_stands_beside_it(
    tmp_path, authority
):
    issuing = certificate(
        tmp_path / "issuing", names=("issuing-ca",), issuer=authority[1], signs=True
    )
    file = tmp_path / "ca.pem"
    pem = (tmp_path / "issuing" / "public.crt").read_bytes()
    file.write_bytes("# Zertifikat für Köln\n".encode("latin-1") + pem)
    with behind(tmp_path / "store", (file, issuing)) as storage:
        connect(storage).create_bucket(Bucket="milvus")
        profile = preflight(storage, effort=LIGHT)
        with opened(storage) as space:
            point = Meter(space).point("GET", 1_000, 1, Plan(requests=4))
    assert profile.verdict is Outcome.PASS, profile.reason
    assert profile.decisions.stack["milvus-kit:storage"]["ca"]["pem"] == pem.decode()
    assert (point.succeeded, point.errors) == (4, {})


@pytest.mark.parametrize("content", [None, b"no PEM", b"\xff\xfe"], ids=["absent", "text", "bytes"])
def test_a_ca_file_without_a_certificate_is_a_mistake_in_the_configuration(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    storage = s3_servers.storage("https://127.0.0.1:1", tls={"mode": "server", "ca_file": file})
    with pytest.raises(ConfigurationError) as caught:
        connect(storage)
    assert str(file) in caught.value.where


@pytest.mark.parametrize("where", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_ca_in_the_system_s_store_is_trusted_by_every_client_and_none_is_pasted(
    tls_store, authority, tmp_path, monkeypatch, where
):
    place = authority[0]
    if where == "SSL_CERT_DIR":
        place = tmp_path / "trusted"
        place.mkdir()
        (place / hashed_name(authority[0])).write_bytes(authority[0].read_bytes())
    monkeypatch.setenv(where, str(place))
    system = tls_store.model_copy(update={"tls": Tls(mode="server")})
    profile = preflight(system, effort=LIGHT)
    assert profile.verdict is Outcome.PASS, profile.reason
    assert profile.decisions.tls.choice == "system"
    assert "ca" not in profile.decisions.stack["milvus-kit:storage"]


def test_a_ca_in_no_store_is_not_trusted_by_an_sdk_s_list_of_its_own(tls_store):
    system = tls_store.model_copy(update={"tls": Tls(mode="server")})
    with pytest.raises(botocore.exceptions.SSLError):
        connect(system).head_bucket(Bucket="milvus")


@pytest.mark.parametrize("content", [None, "no PEM"], ids=["absent", "no PEM"])
def test_a_client_certificate_that_cannot_be_used_is_a_mistake_in_the_configuration(
    tls_store, tmp_path, content
):
    files = tmp_path / "client.crt", tmp_path / "client.key"
    for file in files if content else ():
        file.write_text(content)
    own = {"client_certificate_file": files[0], "client_key_file": files[1]}
    tls = tls_store.tls.model_copy(update=own)
    with pytest.raises(ConfigurationError, match="client certificate") as caught:
        reach(tls_store.model_copy(update={"tls": tls}))
    assert caught.value.exit_code is ExitCode.USAGE
    assert "client.key" in caught.value.where


@contextlib.contextmanager
def wanting_a_client_certificate(folder, authority):
    """Answer every request, after a handshake in which the client has shown its certificate."""
    ca_file, issuer = authority
    certificate(folder, issuer=issuer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "public.crt", folder / "private.key")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args):  # noqa: A002  (the base class's name)
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("files", [1, 2], ids=["one file", "two files"])
def test_a_client_certificate_is_shown_from_one_file_or_two_also_below_the_home_folder(
    tmp_path, authority, monkeypatch, files
):
    monkeypatch.setenv("HOME", str(tmp_path))
    certificate(tmp_path / "own", issuer=authority[1])
    if files == 1:
        with (tmp_path / "own/public.crt").open("ab") as stream:
            stream.write((tmp_path / "own/private.key").read_bytes())
    tls = {
        "mode": "mutual",
        "ca_file": authority[0],
        "client_certificate_file": "~/own/public.crt",
        "client_key_file": "~/own/private.key" if files == 2 else None,
    }
    with wanting_a_client_certificate(tmp_path / "server", authority) as endpoint:
        storage = s3_servers.storage(endpoint, "s3", tls=tls)
        connect(storage).head_bucket(Bucket="milvus")
        assert exchange(storage, "HEAD", "/", {"host": "127.0.0.1"}).ok
        nobody = storage.model_copy(update={"tls": Tls(mode="server", ca_file=authority[0])})
        with pytest.raises(botocore.exceptions.BotoCoreError):
            connect(nobody).head_bucket(Bucket="milvus")


def test_the_fast_client_trusts_the_private_ca_too(tls_store):
    with opened(tls_store) as space:
        point = Meter(space).point("GET", 1_000, 1, Plan(requests=4))
    assert (point.succeeded, point.errors) == (4, {})


@pytest.mark.parametrize(
    ("more", "trusted_ca", "broken"),
    [
        ({"names": ("s3.elsewhere",)}, True, "host-name"),
        ({"days": -1}, True, "validity"),
        ({}, False, "trusted"),
    ],
)
def test_a_bad_certificate_is_refused_for_its_own_reason(
    tmp_path, authority, more, trusted_ca, broken
):
    with behind(tmp_path, authority, **more) as storage:
        system = storage.model_copy(update={"tls": Tls(mode="server")})
        profile = preflight(storage if trusted_ca else system, effort=LIGHT)
    assert profile.verdict is Outcome.FAIL
    red = {name for name, outcome in tls_outcomes(profile).items() if outcome == "fail"}
    assert red == {broken}
    assert "certificate is refused" in profile.finding("objects.body").reason


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_store_that_still_speaks_tls_1_0_turns_red(tmp_path, authority):
    certificate(tmp_path, issuer=authority[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "public.crt", tmp_path / "private.key")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with (
                    plain,
                    contextlib.suppress(OSError),
                    context.wrap_socket(plain, server_side=True) as secure,
                ):
                    secure.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    (found,) = run(
        Workspace(s3_servers.storage(f"https://127.0.0.1:{port}")), [TABLE["tls.protocol"]]
    )
    listener.close()
    assert found.outcome is Outcome.FAIL
    assert "was accepted" in found.reason


def test_a_certificate_that_expires_behind_the_fault_proxy_is_met_at_once(
    tmp_path, tls_store, authority
):
    ca_file, issuer = authority
    good, expired = tmp_path / "good", tmp_path / "expired"
    certificate(good, issuer=issuer)
    certificate(expired, issuer=issuer, days=-1)
    with FaultProxy(
        tls_store.endpoint,
        certificate=Certificate(good / "public.crt", good / "private.key"),
        trusting=ca_file,
    ) as proxy:
        client = connect(tls_store.model_copy(update={"endpoint": proxy.endpoint}))
        client.head_bucket(Bucket="milvus")
        proxy.present(Certificate(expired / "public.crt", expired / "private.key"))
        with pytest.raises(botocore.exceptions.SSLError, match="expired"):
            client.head_bucket(Bucket="milvus")
        assert proxy.script.answered == {200: 1}
        eventually(lambda: proxy.script.refused == {"certificate expired": 1})


ALERT_DECODE_ERROR = bytes([21, 3, 3, 0, 2, 2, 50])


@contextlib.contextmanager
def garbling(folder, authority, count):
    """Serve a store that cannot read the first hellos, as when a client garbles them."""
    ca_file, issuer = authority
    certificate(folder, issuer=issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "public.crt", folder / "private.key")
    hellos = []

    def one(plain: socket.socket, _: threading.Event) -> None:
        with plain:
            hellos.append(plain.recv(5, socket.MSG_PEEK))
            if len(hellos) <= count:
                plain.recv(65_536)
                plain.sendall(ALERT_DECODE_ERROR)
                return
            with context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(65_536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(one) as endpoint:
        tls = {"mode": "server", "ca_file": ca_file}
        yield s3_servers.storage(endpoint.replace("http", "https"), tls=tls), hellos


def test_a_hello_that_the_client_itself_has_garbled_is_said_again_and_no_third_time(
    tmp_path, authority
):
    with garbling(tmp_path / "once", authority, 1) as (storage, hellos):
        connect(storage).head_bucket(Bucket="milvus")
        assert len(hellos) == 2
    with garbling(tmp_path / "always", authority, 9) as (storage, hellos):
        with pytest.raises(botocore.exceptions.SSLError, match="ALERT_DECODE_ERROR"):
            connect(storage).head_bucket(Bucket="milvus")
        assert len(hellos) == 2
