"""Woodpecker's real client on a store: what becomes of a log that two owners want.

The first owner writes, is paused, and a second takes the log over and writes on; then the first
goes on where it was. What was acknowledged has to be there, in order and undamaged, and nothing
that the first wrote after it had lost the log may have been acknowledged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.local.s3_servers import free_port, running
from tests.stores.parts import ETCD, WOODPECKER, command
from validation.s3.client.endpoint import endpoint_of, keys_of
from validation.target import Storage

_ENTRIES, _BYTES = 100, 30_000
"""Of each owner: three megabytes, so that there is more than one block of two."""
_LEASE_SECONDS = 90


@dataclasses.dataclass(frozen=True)
class LogRun:
    """What was seen of a log on a store.

    Args:
        mode: ``enable`` if conditional writes were found, ``disable`` if it fell back to locks.
        detection_seconds: How long it took to find out.
        written: Owner and number of each acknowledged entry, in order.
        read: The same of what was read in the end.
        damaged: Entries that came back changed.
        late: Entries of the first owner that were acknowledged after it had lost the log.
        trouble: What else went wrong, in words; empty if nothing.
    """

    mode: str
    detection_seconds: float
    written: tuple[str, ...]
    read: tuple[str, ...]
    damaged: int = 0
    late: tuple[int, ...] = ()
    trouble: tuple[str, ...] = ()

    @property
    def conditional(self) -> bool:
        """Whether it held by conditional writes."""
        return self.mode == "enable" and self.intact

    @property
    def intact(self) -> bool:
        """Whether every acknowledged entry was there, and the first owner was stopped."""
        kept = [one for one in self.read if one in set(self.written)]
        return kept == list(self.written) and not (self.damaged or self.late or self.trouble)


class Owner:
    """One process with Woodpecker's client; see ``woodpecker/main.go``."""

    def __init__(self, name: str, storage: Storage, etcd: str, folder: Path) -> None:
        keys = keys_of(storage)
        settings = {
            "Owner": name,
            "Log": "rows",
            "Etcd": urlsplit(etcd).netloc,
            "Store": endpoint_of(storage).netloc,
            "Bucket": storage.bucket,
            "Access": keys.access,
            "Secret": keys.secret,
            "Folder": str(folder),
        }
        self._log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [command(WOODPECKER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Give a command and return its answer."""
        self.tell(do, **more)
        return self.answer()

    def tell(self, do: str, **more: Any) -> None:
        """Give a command without waiting for its answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is told in place of an answer
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the answer to the command that was told."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        return {"error": f"the client ended with {self._process.wait(timeout=30)}", "seconds": 0.0}

    def pause(self) -> None:
        """Let nothing of it run, as on a node that hangs."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, paused or not."""
        self._process.kill()
        self._process.wait(timeout=30)
        self._log.close()


@contextlib.contextmanager
def etcd(folder: Path) -> Iterator[str]:
    """Run a fresh etcd and give its address."""
    client, peer = free_port(), free_port()
    start = [command(ETCD), "--data-dir", str(folder / "etcd"), "--logger", "zap"]
    for kind, port in (("client", client), ("peer", peer)):
        start += [f"--listen-{kind}-urls", f"http://127.0.0.1:{port}"]
    start += ["--advertise-client-urls", f"http://127.0.0.1:{client}"]
    start += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"]
    start += ["--initial-cluster", f"default=http://127.0.0.1:{peer}", "--log-level", "warn"]
    log = folder / "etcd.log"
    with running(start, port=client, environment={}, log=log, ready="/health") as address:
        yield address


def run_log(storage: Storage, folder: Path) -> LogRun:
    """Let two owners contend for a log on a store whose bucket is there."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(etcd(folder))

        def owner(name: str) -> Owner:
            made = Owner(name, storage, address, folder)
            stack.callback(made.close)
            return made

        first, second, reader = owner("first"), owner("second"), owner("reader")
        opened = first.ask("open")
        mode, seconds = opened.get("mode", ""), opened["seconds"]
        trouble = [opened["error"]] if "error" in opened else []
        if trouble:
            return LogRun(mode, seconds, (), (), trouble=tuple(trouble))
        return _contended(first, second, reader, mode=mode, seconds=seconds)


def _contended(first: Owner, second: Owner, reader: Owner, *, mode: str, seconds: float) -> LogRun:
    trouble: list[str] = []

    def must(who: str, answer: dict[str, Any]) -> dict[str, Any]:
        if answer.get("error"):
            trouble.append(f"{who}: {answer['error']}")
        return answer

    must("first opens the log", first.ask("own"))
    batch = {"count": _ENTRIES, "bytes": _BYTES}
    before = must("first writes", first.ask("write", **batch))
    first.pause()
    must("second opens", second.ask("open"))
    taken = not must("second takes the log over", _owned(second, mode)).get("error")
    after = must("second writes", second.ask("write", **batch)) if taken else {}
    first.resume()
    late = first.ask("write", **{**batch, "from": _ENTRIES, "count": 10}).get("written", ())
    written = [f"first {one}" for one in before.get("written", ())]
    written += [f"second {one}" for one in after.get("written", ())]
    written += [] if taken else [f"first {one}" for one in late]  # it is its log still
    must("reader opens", reader.ask("open"))
    read = must("reader reads", reader.ask("read", count=len(written)))
    for who, answer in (("first", before), ("second", after)):
        if answer and len(answer.get("written", ())) < _ENTRIES:
            refused = answer.get("refused") or ["nothing"]
            trouble.append(f"{who} could not write everything: {refused[0]}")
    if not trouble:
        trouble += _truncated(reader, len(written))
    return LogRun(
        mode,
        seconds,
        tuple(written),
        tuple(read.get("read", ())),
        damaged=int(read.get("damaged", 0)),
        late=tuple(late) if taken else (),
        trouble=tuple(trouble),
    )


def _owned(second: Owner, mode: str) -> dict[str, Any]:
    """Take the log over: a lock in etcd is free once the lease of who stands still has ended."""
    deadline = time.monotonic() + (0 if mode == "enable" else _LEASE_SECONDS)
    while (answer := second.ask("own")).get("error") and time.monotonic() < deadline:
        time.sleep(1)
    return answer


def _truncated(reader: Owner, count: int) -> list[str]:
    """Cut the first half of the log off; return what went wrong, if anything."""
    half = count // 2
    cut = reader.ask("truncate", at=half - 1)
    if cut.get("error"):
        return [f"truncate: {cut['error']}"]
    left = reader.ask("read", count=count - half)
    found = len(left.get("read", ()))
    return [] if found == count - half else [f"{found} of {count - half} entries after a cut"]
