"""Connecting to real servers, and to what only looks like one."""

import logging
import re
import socket
import threading

import psutil
import pytest

from tests.waiting import eventually
from validation.errors import ConfigurationError, UnreachableError
from validation.milvus.connection import connect
from validation.target import Target


def target(uri, **milvus):
    return Target.model_validate({"name": "t", "milvus": {"uri": uri, **milvus}})


def test_the_embedded_server_is_reached_and_says_its_version(embedded_target):
    with connect(embedded_target) as connection:
        assert connection.version == (2, 3, 5)
        assert not connection.is_lite


def test_a_proxy_that_the_environment_names_is_not_asked(embedded_target, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with connect(embedded_target) as connection:
        assert connection.client.list_collections() is not None


def test_a_server_that_is_too_old_is_refused_by_its_version(embedded_target):
    with connect(embedded_target) as connection:
        connection.require_version("2.3")
        with pytest.raises(UnreachableError, match=r"older than Milvus 2\.6.*v2\.3\.5"):
            connection.require_version("2.6")


def test_milvus_lite_is_reached_and_ends_with_its_last_connection(tmp_path):
    lite = target(str(tmp_path / "a.db"))
    with connect(lite) as one:
        address = one.endpoint.address
        with connect(lite) as two:
            assert two.endpoint.address == address
            assert two.is_lite
        assert one.client.list_collections() == []
        port = int(address.rpartition(":")[2])
        assert port in listening_here()
    # gRPC closes its listener in a thread of its own, and the port may be another process's then.
    eventually(lambda: port not in listening_here())


def listening_here() -> set[int]:
    sockets = psutil.Process().net_connections(kind="tcp")
    return {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}


def test_a_database_that_does_not_exist_is_named(embedded_target):
    milvus = embedded_target.milvus.model_copy(update={"database": "nowhere"})
    with pytest.raises(ConfigurationError, match=r"database.*nowhere"):
        connect(embedded_target.model_copy(update={"milvus": milvus}))


def test_a_database_in_the_path_of_the_uri_is_the_one_that_is_meant(embedded_target):
    with pytest.raises(ConfigurationError, match=r"database.*t_absent"):
        connect(target(f"{embedded_target.milvus.uri}/t_absent"))


def test_tls_to_a_server_without_it_says_so(embedded_target):
    uri = embedded_target.milvus.uri.replace("http://", "https://")
    with pytest.raises(UnreachableError, match="we speak TLS and the server does not"):
        connect(target(uri))


def test_a_web_server_is_told_from_milvus(embedded_target):
    assert embedded_target.storage is not None
    endpoint = embedded_target.storage.endpoint.replace("https://", "http://")
    with pytest.raises(UnreachableError, match=re.escape(endpoint)) as caught:
        connect(target(endpoint))
    assert "gRPC" in str(caught.value)


def test_a_port_where_nobody_listens_is_named():
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1: .*nothing listens"):
        connect(target("http://127.0.0.1:1"))


def test_a_host_that_has_no_address_is_named():
    with pytest.raises(UnreachableError, match=r"no-such-host\.invalid.*not known"):
        connect(target("http://no-such-host.invalid:19530"), timeout=60)


def test_a_server_that_accepts_and_never_answers_cannot_hang_us():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UnreachableError, match=r"127\.0\.0\.1"),
    ):
        connect(target(f"http://127.0.0.1:{listener.getsockname()[1]}"), timeout=1)


def test_a_server_that_hangs_up_leads_to_tls():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(UnreachableError, match="closes the connection"):
            connect(target(f"http://127.0.0.1:{listener.getsockname()[1]}"), timeout=2)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("milvus", "said"),
    [
        ({"uri": "/no/such/folder/a.db"}, "folder .* does not exist"),
        ({"uri": "http://a:1", "tls": {"mode": "server", "ca_file": "/no/ca.pem"}}, "ca_file"),
        ({"uri": "http://a:1", "tls": {"mode": "mutual"}}, "client_certificate_file"),
        (
            {"uri": "http://a:1", "auth": {"user": "u", "password": {"env": "MK_NO_SUCH"}}},
            "MK_NO_SUCH",
        ),
    ],
)
def test_a_wrong_target_is_told_apart_from_an_unreachable_one(milvus, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        connect(Target.model_validate({"name": "t", "milvus": milvus}))
    assert ":Milvus@" not in str(caught.value)


def test_no_traceback_of_the_client_library_is_shown(embedded_target, capfd):
    with connect(embedded_target) as connection:
        with pytest.raises(Exception, match="mk_none"), connection.explained("look"):
            connection.client.describe_collection("mk_none")
        logging.getLogger("pymilvus.decorators").error("a traceback")
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert "a traceback" not in out + err
