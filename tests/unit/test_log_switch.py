"""The switch of the log, against a thin stand-in of the mixcoord's port: no 3.0 can be had here."""

import contextlib
import dataclasses
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from tests.builders import targets
from tests.unit.test_upgrade_making import Server
from validation.common.progress import Progress
from validation.errors import (
    ConfigurationError,
    ExitCode,
    MeasurementError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from validation.target import Wal
from validation.upgrade import described, log_switch, management, recorded
from validation.upgrade.management import Port


@dataclasses.dataclass
class Mixcoord:
    """What of Milvus 3.0's management port is needed, and what it was asked."""

    log: str = "rocksmq"
    becomes: str = "woodpecker"
    status: int = 200
    knows: bool = True
    silent: int = 0
    configs: object = ...
    posted: list[dict] = dataclasses.field(default_factory=list)
    base: str = ""

    def answer(self, method, path, body):
        if method == "POST" and path == "/management/wal/alter":
            self.posted.append(body)
            if self.status == 200:
                self.log = self.becomes
            return self.status, {"msg": "OK" if self.status == 200 else "failed to broadcast"}
        if self.configs is not ...:
            return 200, {"configs": self.configs}
        if self.posted and self.silent:
            self.silent -= 1
            return 0, {}
        if self.knows and path == "/management/config/get?keys=mq.type":
            return 200, {"configs": [{"key": "mq.type", "value": self.log, "source": "Etcd"}]}
        return 404, {}


@pytest.fixture
def mixcoord():
    made = Mixcoord()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply(None)

        def do_POST(self):
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, body):
            status, content = made.answer(self.command, self.path, body)
            if not status:  # as a server that restarts
                self.close_connection = True
                return
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format, *args):  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.base = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(monkeypatch):
    """A server of two collections that calls itself 3.0.5 and declares RocksMQ."""
    made = Server(monkeypatch)
    milvus = targets()[0].milvus.model_copy(update={"version": "3.0.5"})
    made.target = targets()[0].model_copy(update={"milvus": milvus, "storage": None})
    others: dict[str, list[str]] = {}
    vars(made).update(
        others=others,
        timeout=1,
        explained=lambda _: contextlib.nullcontext(),
        client=SimpleNamespace(list_databases=lambda **_: ["default", *others]),
        wire=SimpleNamespace(
            call=lambda _, request, **__: SimpleNamespace(collection_names=others[request.db_name])
        ),
    )
    versioned(made, "v3.0.5")
    monkeypatch.setattr(log_switch, "_alive", lambda _: None)
    return made


def versioned(server, version):
    server.server_version = version
    vars(server)["version"] = tuple(int(part) for part in version[1:].split("."))
    return server


def declared(server, **changes):
    milvus = server.target.milvus.model_copy(update=changes)
    server.target = server.target.model_copy(update={"milvus": milvus})
    return server


def switched(server, folder, base):
    return log_switch.switch(server, folder, base, Progress(quiet=True))


def test_a_switch_that_lost_nothing_leaves_a_record_and_no_other_does(server, mixcoord, tmp_path):
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.PASS
    assert mixcoord.posted == [{"target_wal_name": "woodpecker"}]
    found = recorded.of_stack(tmp_path / "s" / log_switch.RECORD, "local")
    assert (found.was, found.now) == ("rocksmq", "woodpecker-embedded")
    assert (found.server, found.collections, found.rows) == ("v3.0.5", 2, 10)
    assert found.databases == ["default"]
    with pytest.raises(UsageError, match=r"(?s)read already.*name .*log-switch.json in migration"):
        switched(server, tmp_path / "s", mixcoord.base)


def test_what_other_databases_hold_is_never_left_unproved(server, mixcoord, tmp_path):
    server.others.update(empty=[], second=["c"], third=["d", "e"])
    with pytest.raises(
        UsageError, match=r"database default: the log is the whole server's.*second, third"
    ):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.posted == []
    del server.others["second"], server.others["third"]
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.PASS
    found = recorded.of_stack(tmp_path / "s" / log_switch.RECORD, "local")
    assert found.databases == ["default", "empty"]


def test_of_no_collection_nothing_is_proved(server, mixcoord, tmp_path, monkeypatch):
    monkeypatch.setattr(described, "collections", lambda _: [])
    with pytest.raises(UsageError, match="nothing could be proved"):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.posted == []


def test_a_port_that_is_silent_while_milvus_restarts_is_waited_for(server, mixcoord, tmp_path):
    mixcoord.silent = 3
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.PASS


def test_what_broke_off_after_the_switch_goes_on_with_the_same_folder(
    server, mixcoord, tmp_path, monkeypatch
):
    folder = tmp_path / "s"
    server.broken.clear()

    def behind(_):
        raise MeasurementError("no answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(log_switch, "_alive", behind)
        with pytest.raises(MeasurementError, match=r"(?s)was asked for.*-o .*s again: it goes on"):
            switched(server, folder, mixcoord.base)
    versioned(server, "v3.0.6")
    declared(server, version="3.0.6")
    with pytest.raises(UsageError, match="is of another server"):
        switched(server, folder, mixcoord.base)
    versioned(server, "v3.0.5")
    declared(server, version="3.0.5")
    assert switched(server, folder, mixcoord.base) == ExitCode.PASS
    assert len(mixcoord.posted) == 1
    assert recorded.of_stack(folder / log_switch.RECORD, "local").rows == 10


def test_a_folder_whose_switch_was_never_made_does_not_go_on(server, mixcoord, tmp_path):
    server.loaded.discard("b")
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.INCONCLUSIVE
    with pytest.raises(UsageError, match="something in this folder already"):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.posted == []


def test_what_was_lost_is_not_compared_again_by_mistake(server, mixcoord, tmp_path, monkeypatch):
    def losing(_):
        keys = 5 if mixcoord.log == "rocksmq" else 4
        yield {"id": np.arange(keys), "v": np.zeros((keys, 2), np.float32)}

    monkeypatch.setattr(server, "pages", losing)
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.FAIL
    with pytest.raises(UsageError, match=r"(?s)read already.*delete .*after"):
        switched(server, tmp_path / "s", mixcoord.base)


@pytest.mark.parametrize(
    ("configs", "kind", "words"),
    [
        (None, MeasurementError, "does not say which log is in force"),
        ([], MeasurementError, "does not say which log is in force"),
        (["mq.type"], MeasurementError, "does not say which log is in force"),
        ([{"key": "mq.type", "value": None}], MeasurementError, "does not say which log"),
        ([{"key": "mq.type", "value": "default"}], ConfigurationError, "set mq.type to rocksmq"),
    ],
)
def test_an_answer_that_names_no_log_is_none(server, mixcoord, tmp_path, configs, kind, words):  # noqa: PLR0917
    mixcoord.configs = configs
    with pytest.raises(kind, match=words):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.posted == []


@pytest.mark.parametrize(
    "url", ["http://me:planted@h:9091", "ftp://h", "h:9091", "http://[::1", "me:planted@h"]
)
def test_a_url_that_is_none_or_holds_a_secret_is_refused(url):
    with pytest.raises(UsageError) as found:
        Port(url)
    assert "planted" not in found.value.sentence()


def test_a_row_that_is_lost_on_the_way_is_named_and_leaves_no_record(
    server, mixcoord, tmp_path, monkeypatch, capsys
):
    def losing(_):
        keys = 5 if mixcoord.log == "rocksmq" else 4
        yield {"id": np.arange(keys), "v": np.zeros((keys, 2), np.float32)}

    monkeypatch.setattr(server, "pages", losing)
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.FAIL
    assert "a, partition _default: 1 rows are missing; first keys: 4" in capsys.readouterr().out
    assert not (tmp_path / "s" / log_switch.RECORD).exists()


def test_what_is_not_read_is_not_switched(server, mixcoord, tmp_path):
    server.loaded.discard("b")
    assert switched(server, tmp_path / "s", mixcoord.base) == ExitCode.INCONCLUSIVE
    assert mixcoord.posted == []


def test_rows_that_the_new_log_does_not_bring_are_told(server, mixcoord, tmp_path, monkeypatch):
    def behind(_):
        raise MeasurementError("no answer in time", where="mk_switch_alive")

    monkeypatch.setattr(log_switch, "_alive", behind)
    with pytest.raises(MeasurementError, match=r"to woodpecker was asked for.*no answer in time"):
        switched(server, tmp_path / "s", mixcoord.base)
    assert not (tmp_path / "s" / log_switch.RECORD).exists()


def test_a_switch_that_never_comes_into_force_is_not_one(server, mixcoord, tmp_path, monkeypatch):
    mixcoord.becomes = "rocksmq"
    monkeypatch.setattr(management, "_SWITCH_SECONDS", 0.1)
    why = r"was asked for.*not done within 0\.1 s: switch the log.*the log in force is rocksmq"
    with pytest.raises(MeasurementError, match=why):
        switched(server, tmp_path / "s", mixcoord.base)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 500}, "the management port refused.*failed to broadcast"),
        ({"knows": False}, "the management port refused.*HTTP 404"),
    ],
)
def test_what_the_port_says_is_told(server, mixcoord, tmp_path, changes, words):
    for name, value in changes.items():
        setattr(mixcoord, name, value)
    with pytest.raises(MeasurementError, match=words):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.log == "rocksmq"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("v2.6.20", UnsupportedError, r"keeps the log of its first start.*v2\.6\.20"),
        ("v3.0.4", ConfigurationError, "never switched in an upgrade"),
        ({"wal": None}, ConfigurationError, "does not declare its log"),
        ({"wal": Wal.WOODPECKER_SERVICE}, UnsupportedError, "the one hop is from"),
        ({"wal": Wal.WOODPECKER_EMBEDDED}, UnsupportedError, "the one hop is from"),
        ({"wal": Wal.KAFKA}, ConfigurationError, "another is in force.*rocksmq"),
    ],
)
def test_what_cannot_be_switched_is_refused_before_anything_is_asked(  # noqa: PLR0917
    server, mixcoord, tmp_path, change, kind, words
):
    versioned(server, change) if isinstance(change, str) else declared(server, **change)
    with pytest.raises(kind, match=words):
        switched(server, tmp_path / "s", mixcoord.base)
    assert mixcoord.posted == []


def test_without_a_management_port_nothing_is_done(server, tmp_path):
    with pytest.raises(UsageError, match="where the mixcoord's management port is"):
        switched(server, tmp_path / "s", None)
    with pytest.raises(UnreachableError, match="does not answer"):
        switched(server, tmp_path / "s", "http://127.0.0.1:9")


def test_a_record_that_is_edited_or_of_another_stack_is_refused(tmp_path):
    made = recorded.Record(
        target="prod",
        server="v3.0.5",
        proved=datetime(2026, 5, 2, tzinfo=UTC),
        databases=["default"],
        was="kafka",
        now="woodpecker-embedded",
        before="a",
        after="b",
        collections=1,
        rows=1,
    )
    path = tmp_path / "r.json"
    made.save(path)
    assert recorded.of_stack(path, "prod").rows == 1
    with pytest.raises(ConfigurationError, match="is of another stack"):
        recorded.of_stack(path, "dev")
    path.write_text(path.read_text().replace('"kafka"', '"pulsar"'))
    with pytest.raises(ConfigurationError, match="changed after it was written"):
        recorded.of_stack(path, "prod")
    path.write_text(path.read_text().replace("switch/1", "switch/2"))
    with pytest.raises(ConfigurationError, match="made by a newer kit"):
        recorded.of_stack(path, "prod")
    with pytest.raises(ConfigurationError, match="no record of a log that was switched"):
        recorded.of_stack(tmp_path / "none.json", "prod")
