from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from validation.errors import EmbeddedStackError, UsageError
from validation.local import ports


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def test_picked_ports_differ_and_stay_below_ephemeral_ones():
    picked = ports.pick([f"p{number}" for number in range(50)])
    assert len(set(picked.values())) == 50
    assert all(port in ports.RANGE for port in picked.values())


def test_a_port_that_another_run_drew_is_not_drawn_while_it_lives(monkeypatch):
    draw = "from validation.local import ports; print(ports.pick(['a'])['a'], flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", draw], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    port = int(other.stdout.readline())
    monkeypatch.setattr(ports, "RANGE", range(port, port + 1))
    with pytest.raises(EmbeddedStackError, match="no free port"):
        ports.pick(["a"])
    other.communicate("\n", timeout=60)
    assert ports.pick(["a"]) == {"a": port}


def test_a_chosen_port_is_kept():
    free = ports.pick(["a"])["a"]
    assert ports.pick(["a", "b"], {"a": free})["a"] == free


def test_a_chosen_port_that_is_taken_is_named_with_its_purpose_and_the_way_out(listener):
    port = listener.getsockname()[1]
    with pytest.raises(UsageError) as caught:
        ports.pick(["proxy"], {"proxy": port})
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message
    assert "proxy" in message
    assert "already in use" in message
    assert "ss -ltnp" in message


def test_a_port_chosen_twice_is_refused():
    free = ports.pick(["a"])["a"]
    with pytest.raises(UsageError, match="chosen twice"):
        ports.pick(["a", "b"], {"a": free, "b": free})


def test_a_port_listened_on_at_loopback_alone_is_not_free(listener):
    assert not ports.is_free(listener.getsockname()[1])


def test_a_process_is_told_from_another_by_the_port_it_listens_on(listener):
    port = listener.getsockname()[1]
    assert ports.listens(os.getpid(), port)
    assert not ports.listens(os.getppid(), port)


def test_a_process_that_is_gone_listens_on_nothing(listener):
    assert not ports.listens(2**22 + 1, listener.getsockname()[1])


def test_no_free_port_is_an_error_and_no_endless_search(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(EmbeddedStackError, match="no free port"):
        ports.pick(["a"])
