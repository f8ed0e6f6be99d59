"""A real server with TLS and users: what a wrong certificate and a wrong password look like."""

import contextlib
import dataclasses
import datetime as dt
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pymilvus.grpc_gen import milvus_pb2

from validation.common.progress import Progress
from validation.errors import CredentialsError, UnreachableError
from validation.load.engine import Engine
from validation.load.plan import Plan
from validation.load.record import Feed
from validation.load.replies import read
from validation.local import milvus, ports, process
from validation.milvus.connection import connect
from validation.milvus.wire import Endpoint
from validation.target import Target
from validation.upgrade import differing, making

SERVER_NAME = "milvus.internal"
_S3 = {"host": "127.0.0.1", "port": 1, "bucket": "none", "root_path": "none"}


def certificate(name, *, issuer=None, alternatives=()):
    """Return a certificate and its key; a CA of its own without an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, signing_key = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if alternatives:
        made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return made.sign(signing_key, hashes.SHA256()), key


def pem(pair):
    made, key = pair
    return (
        made.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A Milvus 2.3.5 with TLS and users on local files: its address, its CA, a client's files."""
    folder = tmp_path_factory.mktemp("secured")
    authority = certificate("a CA of this test")
    # Its name is not that of the address, so that the name itself is tested; the address is in the
    # certificate of no one.
    server = certificate(SERVER_NAME, issuer=authority, alternatives=[x509.DNSName(SERVER_NAME)])
    for name, text in zip(("server.pem", "server.key"), pem(server), strict=True):
        (folder / name).write_text(text)
    (folder / "ca.pem").write_text(pem(authority)[0])
    taken = ports.pick(milvus.PORTS)
    binaries = milvus.unpacked()
    (folder / "milvus").mkdir()
    milvus.write_configuration(binaries, folder, taken, _S3)
    path = folder / "configs" / "milvus.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["common"]["storageType"] = "local"
    settings["common"]["security"] = {"authorizationEnabled": True, "tlsMode": 1}
    settings["tls"] = {
        "serverPemPath": str(folder / "server.pem"),
        "serverKeyPath": str(folder / "server.key"),
        "caPemPath": str(folder / "ca.pem"),
    }
    path.write_text(yaml.safe_dump(settings))
    running = process.start(
        "milvus",
        [str(binaries / "bin" / "milvus"), "run", "standalone"],
        folder=folder,
        environment=milvus.environment(binaries, folder, taken),
        owner=process.Owner.this_process(),
    )

    def ready():
        health = f"http://127.0.0.1:{taken['metrics']}/healthz"
        with urllib.request.urlopen(health, timeout=2) as answer:
            return answer.status == 200

    try:
        process.await_ready(running, ready, seconds=120)
        yield f"https://127.0.0.1:{taken['proxy']}", folder / "ca.pem"
    finally:
        process.stop(running, kill=True)


def target(secured, **changes):
    uri, authority = secured
    described = {
        "uri": uri,
        "tls": {"mode": "server", "ca_file": str(authority), "server_name": SERVER_NAME},
        "auth": {"user": "root", "password": {"value": "Milvus"}},
    }
    return Target.model_validate({"name": "t", "milvus": described | changes})


def test_the_right_ca_name_and_password_are_let_in(secured):
    with connect(target(secured)) as connection:
        assert connection.client.list_users() == ["root"]
        assert connection.wire.endpoint.secure


def test_a_ca_given_as_text_works_and_leaves_no_file_behind(secured, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls = {"mode": "server", "ca_pem": secured[1].read_text(), "server_name": SERVER_NAME}
    with connect(target(secured, tls=tls)):
        assert [path.stat().st_mode & 0o77 for path in tmp_path.iterdir()] == [0]
    assert list(tmp_path.iterdir()) == []


def searched(endpoint):
    """Search a collection that is not there, as load does, and return how that failed."""
    request = milvus_pb2.SearchRequest(collection_name="absent", nq=1)
    plan = Plan(endpoint, (request.SerializeToString(),), (1,))
    with Engine(plan) as engine:
        record = engine.run(Feed(np.arange(1)))
    return read(plan, np.arange(1), record.failures, record.replies).failures[0]


def test_load_takes_the_same_ca_name_and_password(secured):
    with connect(target(secured)) as connection:
        endpoint = connection.wire.endpoint
    assert "not found" in searched(endpoint)
    stranger = dataclasses.replace(endpoint, token="root:wrong")
    assert searched(stranger) == "gRPC UNAUTHENTICATED"
    other = pem(certificate("another CA"))[0].encode()
    unknown = dataclasses.replace(endpoint, root_certificates=other)
    assert searched(unknown) == "TLS: unable to get local issuer certificate"
    named = dataclasses.replace(endpoint, server_name="")
    assert searched(named).startswith("TLS: IP address mismatch")
    plain = dataclasses.replace(endpoint, secure=False)
    assert searched(plain).startswith(("connection lost", "HTTP/2"))


def test_load_shows_a_certificate_of_its_own_where_one_is_wanted():
    authority = certificate("a CA of this test")
    alternatives = [x509.DNSName(SERVER_NAME)]
    shown, private = pem(certificate(SERVER_NAME, issuer=authority, alternatives=alternatives))
    root = pem(authority)[0].encode()
    pair = (private.encode(), shown.encode())
    credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=True)
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    ours, key = pem(certificate("a client", issuer=authority))
    endpoint = Endpoint(
        "here",
        f"127.0.0.1:{port}",
        secure=True,
        root_certificates=root,
        certificate=ours.encode(),
        key=key.encode(),
        server_name=SERVER_NAME,
    )
    try:
        assert searched(endpoint) == "gRPC UNIMPLEMENTED"
        refused = searched(dataclasses.replace(endpoint, certificate=None, key=None))
        assert refused.startswith(("TLS: ", "connection lost"))
    finally:
        server.stop(0)


@pytest.mark.parametrize(
    "auth", [{"user": "root", "password": {"value": "not-this-one"}}, None], ids=["wrong", "none"]
)
def test_a_wrong_or_missing_password_is_a_matter_of_credentials(secured, auth):
    with pytest.raises(CredentialsError, match=r"https://127\.0\.0\.1.*refuses") as caught:
        connect(target(secured, auth=auth))
    assert "not-this-one" not in str(caught.value)


def test_a_ca_that_did_not_sign_is_named_as_the_cause(secured):
    tls = {"mode": "server", "ca_pem": pem(certificate("another CA"))[0]}
    with pytest.raises(UnreachableError, match=r"not signed by a CA we trust[\s\S]*milvus\.tls"):
        connect(target(secured, tls=tls))


def test_the_public_cas_do_not_vouch_for_a_private_one(secured):
    with pytest.raises(UnreachableError, match="not signed by a CA we trust"):
        connect(target(secured, tls={"mode": "server"}))


def test_a_certificate_for_another_name_leads_to_server_name(secured):
    tls = {"mode": "server", "ca_file": str(secured[1])}
    with pytest.raises(UnreachableError, match=r"for another name[\s\S]*server_name"):
        connect(target(secured, tls=tls))


def test_plain_text_to_a_server_with_tls_leads_to_tls(secured):
    uri = secured[0].replace("https://", "http://")
    with pytest.raises(UnreachableError, match=r"closes the connection[\s\S]*https://"):
        connect(target(secured, uri=uri, tls={"mode": "off"}), timeout=3)


def test_handshakes_that_fail_print_nothing(secured, capfd):
    with contextlib.suppress(UnreachableError):
        connect(target(secured, tls={"mode": "server"}))
    assert capfd.readouterr() == ("", "")


def test_a_manifest_names_users_and_roles_and_what_a_role_was_given(secured, tmp_path):
    with connect(target(secured)) as connection:
        client = connection.client
        client.create_user("reader", "a password of 12")
        client.create_role("readers")
        client.grant_role("reader", "readers")
        before, after = tmp_path / "before", tmp_path / "after"
        made = making.make(connection, before, Progress(quiet=True))
        assert made.users == {"reader": ["readers"], "root": []}
        assert sorted(made.roles or ()) == ["admin", "public", "readers"]
        client.grant_privilege("readers", "Collection", "Query", "*")
        making.make(connection, after, Progress(quiet=True))
        client.revoke_privilege("readers", "Collection", "Query", "*")
        client.drop_user("reader")
        client.drop_role("readers")
    (said,) = differing.differ(before, after).found
    assert said.startswith("roles: readers was [], now ")
    assert "Query" in said
