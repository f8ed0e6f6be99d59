"""A server for real ssh clients, in this process: it runs what it is told as this very user."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh


@dataclass(frozen=True)
class Server:
    """A server.

    Args:
        port: On 127.0.0.1.
        host_key: Type and base64.
        key: File with the private key that it lets in.
        commands: What it was told to run.
    """

    port: int
    host_key: str
    key: Path
    commands: list[str]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server; its client's key is put into a folder."""
    own, theirs = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key = folder / "client.key"
    key.touch(0o600)
    theirs.write_private_key(key)
    commands: list[str] = []

    async def run(process: asyncssh.SSHServerProcess) -> None:
        commands.append(str(process.command))
        shell = ["/bin/sh", "-c", str(process.command)]
        how = {"capture_output": True, "text": True, "check": False, "timeout": 60}
        done = await asyncio.to_thread(subprocess.run, shell, **how)
        process.stdout.write(done.stdout)
        process.stderr.write(done.stderr)
        process.exit(done.returncode)

    allowed = asyncssh.import_authorized_keys(theirs.export_public_key().decode())

    async def begun() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=allowed,
            process_factory=run,
        )

    async def ended() -> None:
        server.close()
        await server.wait_closed()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(begun(), loop).result(20)
        host_key = " ".join(own.export_public_key().decode().split()[:2])
        yield Server(server.get_port(), host_key, key, commands)
        asyncio.run_coroutine_threadsafe(ended(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
