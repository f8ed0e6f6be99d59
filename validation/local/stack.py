"""The embedded stack: a Milvus server that keeps its segments in an S3 store, both on this host.

All it has is under one folder: ``milvus`` and ``s3`` (data), ``configs``, ``secrets``, ``logs``,
``state.json`` and ``target.yaml``. Any process can take it up again by that folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from validation import target as targets
from validation.common.cache import cache_folder
from validation.common.progress import Progress
from validation.errors import EmbeddedStackError, UnsupportedError, UsageError
from validation.local import milvus, minio, own_store, process, secured, servers, state
from validation.local import ports as free
from validation.local.contract import target_of
from validation.local.folder import require_space
from validation.local.lite import lite_target
from validation.local.process import NOBODY, Owner
from validation.local.state import State, StoreAccess
from validation.target import Storage, Target


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
        store_port: Port on this host through which Milvus reaches its store, where something
            stands between the two. It must listen already; the target still names the store.
        s3: One of `minio.ORDER`; the first that works if left out.
        image: MinIO's container image, if it is run in one.
        storage: A store of one's own, in place of an S3 server of the stack's; see `own_store`.
            What was started with one goes on with it where it is left out.
        name: Of the target.
        secure: Whether Milvus has TLS and users; what was started so goes on so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        progress: Progress | None = None,
        owned: bool = True,
        ports: Mapping[str, int] | None = None,
        store_port: int | None = None,
        s3: str = "",
        image: str = "",
        name: str = "local",
        storage: Storage | None = None,
        secure: bool = False,
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self.progress = progress or Progress()
        self._owned = owned
        self._ports = dict(ports or {})
        self._store_port = store_port
        self._s3, self._image, self._name = s3, image, name
        self._storage = storage
        self._secure = secure

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
            MissingToolError: The Milvus server is not installed, or no S3 server can be run here.
            EmbeddedStackError: A server did not come up; nothing is left running.
        """
        if not milvus.exists_here() and self._storage is None and not self._secure:
            target = lite_target(self.folder, why="there is no Milvus server for this platform")
            targets.save(target, self.folder / "target.yaml")
            return target
        with state.locked(self.folder):
            before = state.read(self.folder)
            if before is not None:
                self._settle(before)
            require_space(self.folder)
            milvus.require_installed()
            try:
                return self._start(before)
            except BaseException as error:
                self._stop(kill=True)
                if isinstance(error, OSError):
                    raise EmbeddedStackError(
                        f"the stack's files cannot be written: {error.strerror or error}",
                        where=str(error.filename or self.folder),
                        remedy="free some space, or choose another folder",
                    ) from None
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
        wanted = self._storage or (before.store if before else None)
        if wanted is not None:
            return self._start_on(wanted, before)
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
                    access=StoreAccess(self._store_port),
                    secured=self._is_secured(before),
                )
                client.result()
                with self.progress.step(f"start {s3.description}"):
                    found = servers.start_s3(self.folder, found, s3)
                found = dataclasses.replace(found, server=server.result())
            except BaseException:
                cancelled.set()
                raise
        return self._up(found)

    def _start_on(self, wanted: Storage, before: State | None) -> Target:
        """Start Milvus alone, on a store of the user's own."""
        if before is not None:
            own_store.require_same(before.store, wanted, self.folder)
        own_store.require_usable(wanted, fresh=before is None)
        store, access = own_store.taken(self.folder, wanted)
        found = State(
            name=self._name,
            server=self._unpack(threading.Event()),
            version=milvus.installed_version(),
            ports=self._pick_ports(before),
            s3=None,
            owner=Owner.this_process(),
            access=dataclasses.replace(access, port=self._store_port),
            store=store,
            secured=self._is_secured(before),
        )
        return self._up(found)

    def _up(self, found: State) -> Target:
        """Start Milvus on its store; keep and return the target."""
        with self.progress.step(f"start Milvus {found.version}"):
            found = servers.start_milvus(self.folder, found)
            target = target_of(self.folder, found)
            if found.secured:
                secured.take_over(target)
        if not self._owned:
            found = self._release(found)
        targets.save(target, self.folder / "target.yaml")
        return target

    def _is_secured(self, before: State | None) -> bool:
        return self._secure or (before is not None and before.secured)

    def _unpack(self, cancelled: threading.Event) -> Path:
        if milvus.is_unpacked():
            return milvus.unpacked()
        require_space(cache_folder())
        with self.progress.step(f"unpack Milvus {milvus.installed_version()} (once)"):
            try:
                return milvus.unpacked(cancelled=cancelled)
            except OSError as error:
                raise EmbeddedStackError(
                    f"the Milvus server cannot be unpacked: {error.strerror or error}",
                    where=str(cache_folder()),
                    remedy="free some space there, or set MILVUS_KIT_CACHE to another folder",
                ) from None

    def _pick_ports(self, before: State | None) -> dict[str, int]:
        """Return the ports of the last start as far as they are free, others for the rest."""
        chosen = dict(self._ports)
        for name, port in (before.ports if before else {}).items():
            if name not in chosen and port not in chosen.values() and free.is_free(port):
                chosen[name] = port
        return free.pick(("s3", *milvus.PORTS), chosen)

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
        found = state.read(self.folder)
        if found is None or not found.servers:
            return
        with state.locked(self.folder), self.progress.step("stop Milvus and its store"):
            self._stop(kill=kill)

    def _stop(self, *, kill: bool) -> None:
        found = state.read(self.folder)
        if found is not None and found.servers:
            with contextlib.ExitStack() as each:  # also if one of them cannot be stopped
                if "s3" in found.servers:
                    each.callback(process.stop, found.servers["s3"])
                each.callback(servers.stop_milvus, self.folder, found, kill=kill)
            if found.s3 is not None:
                minio.end_container(found.s3, found.ports["s3"])
            with contextlib.suppress(OSError):  # a full disk; that they are gone shows anyway
                state.write(self.folder, dataclasses.replace(found, servers={}, owner=NOBODY))

    def restart_milvus(self, *, kill: bool = False, access: StoreAccess | None = None) -> float:
        """Restart the Milvus server alone; its store, its ports and its owner stay as they are.

        Args:
            kill: Kill it, as a crash would, instead of asking it to stop.
            access: How it reaches the store from now on; as before if left out.

        Returns:
            Seconds from the order to stop until it was ready again.

        Raises:
            EmbeddedStackError: The stack does not run, or Milvus did not come up again.
        """
        with state.locked(self.folder):
            found = state.read(self.folder)
            up = {running.name for running in found.alive()} if found else set()
            own = found is not None and found.store is not None
            if found is None or not (own or "s3" in up):
                raise EmbeddedStackError(
                    "the embedded stack does not run, so its Milvus cannot be restarted",
                    where=str(self.folder),
                    remedy="start it first, e.g. with `milvus-kit local up`",
                )
            started = time.monotonic()
            servers.stop_milvus(self.folder, found, kill=kill)
            if access is not None:
                found = dataclasses.replace(found, access=access)
            with self.progress.step(f"start Milvus {found.version} again"):
                servers.start_milvus(self.folder, found)
            return time.monotonic() - started

    def status(self) -> Status:
        """Return whether the stack runs: both servers, that is."""
        found = state.read(self.folder)
        alive = {name: run.alive() for name, run in found.servers.items()} if found else {}
        own = found is not None and found.store is not None
        running = (own or alive.get("s3", False)) and alive.get("milvus", False)
        return Status(self.folder, running, alive, found.owner.pid if found else 0)


def from_state(path: Path) -> EmbeddedStack:
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
    return EmbeddedStack(path.parent, progress=Progress(quiet=True))


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
