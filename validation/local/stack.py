"""The embedded stack: a Milvus server that keeps its segments in an S3 store, both on this host.

All it has is under one folder: ``milvus`` and ``s3`` (data), ``configs``, ``secrets``, ``logs``,
``state.json`` and ``target.yaml``. Any process can take it up again by that folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from validation import target as targets
from validation.cache import cache_folder
from validation.errors import EmbeddedStackError, UnsupportedError, UsageError
from validation.local import milvus, minio, ports, process, state
from validation.local.lite import lite_target
from validation.local.process import NOBODY, Owner, Running
from validation.local.state import State
from validation.progress import Progress
from validation.target import Target

BUCKET = "milvus"
ROOT_PATH = "files"
REQUIRED_BYTES = 2 << 30
"""Free space a start asks for: sample and generated data take about half of it, and a store that
runs out of space half way through a run wastes more time than it saves."""

_SECONDS = {"s3": 60.0, "milvus": 120.0}
_RETRIES = 2


@dataclasses.dataclass(frozen=True)
class Status:
    """Whether a stack runs, and what of it."""

    folder: Path
    running: bool
    servers: dict[str, bool]
    owner_pid: int = 0

    @property
    def target_file(self) -> Path:
        """Where its target document is."""
        return self.folder / "target.yaml"


class EmbeddedStack:
    """Starts, restarts and stops the servers in one folder.

    Args:
        folder: Home of all its files; made if missing. Data found there are used again.
        progress: Shows the phases; on stderr if left out.
        owned: Whether the servers end with this process, however it ends. If not, they run on
            once they are up, until somebody stops them.
        ports: Ports of the user's choice by purpose: ``proxy``, ``metrics``, ``s3`` and the
            others of `milvus.PORTS`; free ones are found for the rest.
        s3: One of `minio.ORDER`; the first that works if left out.
        image: MinIO's container image, if it is run in one.
        name: Of the target.
    """

    def __init__(
        self,
        folder: Path,
        *,
        progress: Progress | None = None,
        owned: bool = True,
        ports: Mapping[str, int] | None = None,
        s3: str = "",
        image: str = "",
        name: str = "local",
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self.progress = progress or Progress()
        self._owned = owned
        self._ports = dict(ports or {})
        self._s3, self._image, self._name = s3, image, name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What is kept survives a crash by design, and asking costs seconds at the end of each run.
        self.stop(kill=True)

    @property
    def target(self) -> Target:
        """The target document of the stack as it was last started."""
        return targets.load(self.folder / "target.yaml")

    def start(self) -> Target:
        """Start both servers and wait until they are ready.

        Raises:
            UsageError: A stack runs in this folder already, a chosen port is taken, the folder
                cannot be used, or the disk is nearly full.
            MissingToolError: No S3 server can be run here.
            EmbeddedStackError: A server did not come up; nothing is left running.
        """
        if milvus.wheel() is None:
            target = lite_target(self.folder, why="there is no Milvus server for this platform")
            targets.save(target, self.folder / "target.yaml")
            return target
        with state.locked(self.folder):
            before = state.read(self.folder)
            if before is not None:
                self._settle(before)
            _require_space(self.folder)
            try:
                return self._start(before)
            except BaseException:
                self._stop(kill=True)
                raise

    def _settle(self, before: State) -> None:
        """Refuse to start beside a running stack; stop what a crashed one has left."""
        alive = before.alive()
        owner_gone = before.owner != NOBODY and not before.owner.alive()
        if alive and len(alive) == len(before.servers) and not owner_gone:
            raise UsageError(
                "an embedded stack runs in this folder already",
                where=str(self.folder),
                seen=f"process {before.owner.pid or alive[0].pid}",
                remedy="use it, stop it (`milvus-kit local down`), or choose another folder",
            )
        if before.servers:
            names = ", ".join(running.name for running in alive) or "none"
            self.progress.say(f"cleaning up after a stack that crashed here; still up: {names}")
            self._stop(kill=True)

    def _start(self, before: State | None) -> Target:
        owner = Owner.this_process()
        cancelled = threading.Event()
        with ThreadPoolExecutor(max_workers=2) as pool:
            try:
                # Unpacking, and loading the S3 client, go on while the store is chosen and started.
                server = pool.submit(self._unpack, cancelled)
                client = pool.submit(__import__, "boto3")
                s3 = minio.choose(self.progress, self.folder, only=self._s3, image=self._image)
                found = State(
                    name=self._name,
                    server=Path(),
                    version=milvus.installed_version(),
                    ports=self._pick_ports(before),
                    s3=s3,
                    owner=owner,
                )
                found = self._start_s3(found, client)
                found = dataclasses.replace(found, server=server.result())
            except BaseException:
                cancelled.set()
                raise
        found = self._start_milvus(found)
        if not self._owned:
            found = self._release(found)
        target = _target(self.folder, found)
        targets.save(target, self.folder / "target.yaml")
        return target

    def _unpack(self, cancelled: threading.Event) -> Path:
        if milvus.is_unpacked():
            return milvus.unpacked()
        _require_space(cache_folder())
        with self.progress.step(f"unpack Milvus {milvus.installed_version()} (once)"):
            return milvus.unpacked(cancelled=cancelled)

    def _pick_ports(self, before: State | None) -> dict[str, int]:
        """Return the ports of the last start as far as they are free, others for the rest."""
        chosen = dict(self._ports)
        for name, port in (before.ports if before else {}).items():
            if name not in chosen and port not in chosen.values() and ports.is_free(port):
                chosen[name] = port
        return ports.pick(("s3", *milvus.PORTS), chosen)

    def _start_s3(self, found: State, client: Future[ModuleType]) -> State:
        port = found.ports["s3"]
        access_key, secret_key = (file.read_text() for file in state.key_files(self.folder))
        with self.progress.step(f"start {found.s3.description}"):
            running = process.start(
                "s3",
                found.s3.command(self.folder, port),
                folder=self.folder,
                environment=found.s3.environment(access_key, secret_key),
                owner=found.owner,
                clean_up=found.s3.clean_up(port),
            )
            found = self._remember(found, running)
            (self.folder / "s3").mkdir(exist_ok=True)
            endpoint = f"http://127.0.0.1:{port}"

            def ready() -> bool:
                return _answers(endpoint + found.s3.health_path) and (
                    bool(found.s3.image) or _is_of(running, port)
                )

            process.await_ready(running, ready, seconds=_SECONDS["s3"])
            client.result()
            _create_bucket(endpoint, access_key, secret_key, running)
        return found

    def _start_milvus(self, found: State) -> State:
        s3 = {
            "host": "127.0.0.1",
            "port": found.ports["s3"],
            "bucket": BUCKET,
            "root_path": ROOT_PATH,
        }
        milvus.write_configuration(found.server, self.folder, found.ports, s3)
        access_key, secret_key = (file.read_text() for file in state.key_files(self.folder))
        keys = {"MINIO_ACCESS_KEY_ID": access_key, "MINIO_SECRET_ACCESS_KEY": secret_key}
        with self.progress.step(f"start Milvus {found.version}"):
            running = process.start(
                "milvus",
                [str(found.server / "bin" / "milvus"), "run", "standalone"],
                folder=self.folder,
                environment={
                    **milvus.environment(found.server, self.folder, found.ports),
                    **keys,
                },
                owner=found.owner,
            )
            found = self._remember(found, running)
            health = f"http://127.0.0.1:{found.ports['metrics']}/healthz"

            def ready() -> bool:
                served = (found.ports["metrics"], found.ports["proxy"])
                return _answers(health) and all(_is_of(running, port) for port in served)

            process.await_ready(running, ready, seconds=_SECONDS["milvus"])
        return found

    def _remember(self, found: State, running: Running) -> State:
        found = dataclasses.replace(found, servers={**found.servers, running.name: running})
        state.write(self.folder, found)
        return found

    def _release(self, found: State) -> State:
        """Let the servers run on; only now, so that an `up` which dies leaves nothing behind."""
        found = dataclasses.replace(found, owner=NOBODY)
        state.write(self.folder, found)
        for running in found.servers.values():
            process.release(running)
        return found

    def stop(self, *, kill: bool = False) -> None:
        """Stop both servers and wait until they are gone; nothing happens if none runs.

        Args:
            kill: Kill Milvus at once, as a crash would; its store stops quickly when asked.
        """
        if not (self.folder / state.FILE).exists():
            return
        with state.locked(self.folder), self.progress.step("stop Milvus and its store"):
            self._stop(kill=kill)

    def _stop(self, *, kill: bool) -> None:
        found = state.read(self.folder)
        if found is not None and found.servers:
            with contextlib.ExitStack() as each:  # also if one of them cannot be stopped
                for running in found.servers.values():
                    each.callback(process.stop, running, kill=kill and running.name == "milvus")
            state.write(self.folder, dataclasses.replace(found, servers={}, owner=NOBODY))

    def restart_milvus(self, *, kill: bool = False) -> float:
        """Restart the Milvus server alone; its store, its ports and its owner stay as they are.

        Args:
            kill: Kill it, as a crash would, instead of asking it to stop.

        Returns:
            Seconds from the order to stop until it was ready again.

        Raises:
            EmbeddedStackError: The stack does not run, or Milvus did not come up again.
        """
        with state.locked(self.folder):
            found = state.read(self.folder)
            if found is None or "s3" not in {running.name for running in found.alive()}:
                raise EmbeddedStackError(
                    "the embedded stack does not run, so its Milvus cannot be restarted",
                    where=str(self.folder),
                    remedy="start it first, e.g. with `milvus-kit local up`",
                )
            started = time.monotonic()
            if "milvus" in found.servers:
                process.stop(found.servers["milvus"], kill=kill)
            self._start_milvus(found)
            return time.monotonic() - started

    def status(self) -> Status:
        """Return whether the stack runs: both servers, that is."""
        found = state.read(self.folder)
        servers = {name: run.alive() for name, run in found.servers.items()} if found else {}
        running = bool(servers) and all(servers.get(name, False) for name in ("s3", "milvus"))
        return Status(self.folder, running, servers, found.owner.pid if found else 0)


def from_state(path: Path, *, progress: Progress | None = None) -> EmbeddedStack:
    """Return the stack that a ``state.json`` remembers.

    Raises:
        UsageError: There is no such file.
    """
    if state.read(path.parent) is None:
        raise UsageError(
            "there is no embedded stack here",
            where=str(path),
            remedy="`milvus-kit local up` starts one",
        )
    return EmbeddedStack(path.parent, progress=progress or Progress(quiet=True))


def restart(target: Target, *, kill: bool = False) -> float:
    """Restart the Milvus server of a target made by an embedded stack, from any process.

    Args:
        target: Its ``restart`` says where the stack's state is.
        kill: Kill the server instead of asking it to stop.

    Returns:
        Seconds from the order to stop until it was ready again.

    Raises:
        UnsupportedError: The target does not allow it.
    """
    how = target.restart
    if how is None or how.kind != "embedded" or how.state_file is None:
        raise UnsupportedError(
            "this target is not an embedded stack, so its Milvus is not restarted from here",
            where=f"target {target.name}: restart",
        )
    return from_state(how.state_file).restart_milvus(kill=kill)


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (http, ours)
        return answer.status == 200  # noqa: PLR2004


def _is_of(running: Running, port: int) -> bool:
    """Return whether a port is served by the very server that was started."""
    pid = running.server_pid()
    return pid is not None and ports.listens(pid, port)


def _create_bucket(endpoint: str, access_key: str, secret_key: str, running: Running) -> None:
    import boto3  # noqa: PLC0415  (slow to import)
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 5}),
    )
    try:
        if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise EmbeddedStackError(
            f"the bucket {BUCKET} cannot be created: {error}",
            where=endpoint,
            remedy=f"look at {running.log}",
        ) from None


def _require_space(folder: Path) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < REQUIRED_BYTES:
        raise UsageError(
            f"the disk is nearly full: at least {REQUIRED_BYTES >> 20} MiB have to be free",
            where=str(folder),
            seen=f"{free >> 20} MiB free",
            remedy="free some space, or choose another folder",
        )


def _target(folder: Path, found: State) -> Target:
    access_key, secret_key = state.key_files(folder)
    server = (
        f"Milvus is the server of the Python package milvus {found.version}: standalone, with"
        " etcd and RocksMQ inside; it cannot do sparse vectors or BM25"
    )
    notes = [
        server,
        "Milvus listens on all interfaces of this host, without authentication",
        f"object store: {found.s3.description} ({found.s3.source})"
        + "".join(f"; not {reason}" for reason in found.s3.rejected),
    ]
    if found.s3.provider == "emulator":
        notes.append(minio.EMULATOR_NOTE)
    return Target(
        name=found.name,
        description="embedded stack on this host",
        milvus=targets.Milvus(
            uri=f"http://127.0.0.1:{found.ports['proxy']}",
            deployment="standalone",
            version=found.version,
            metrics_uri=f"http://127.0.0.1:{found.ports['metrics']}",
            wal=targets.Wal.ROCKSMQ,
            roles=tuple(targets.Role(name=role) for role in milvus.ROLES),
        ),
        storage=targets.Storage(
            provider=found.s3.provider,
            endpoint=f"http://127.0.0.1:{found.ports['s3']}",
            bucket=BUCKET,
            root_path=ROOT_PATH,
            access_key=targets.SecretRef(file=access_key),
            secret_key=targets.SecretRef(file=secret_key),
            versioning="off",
            object_lock=False,
        ),
        restart=targets.Restart(kind="embedded", state_file=folder / state.FILE),
        notes=tuple(notes),
    )
