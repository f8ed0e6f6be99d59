"""Starting the two servers of an embedded stack, each up to the moment it can be used."""

from __future__ import annotations

import dataclasses
import urllib.request
from pathlib import Path

from validation.errors import EmbeddedStackError
from validation.local import milvus, ports, process, secured, sessions, state, trust
from validation.local.minio import S3Server
from validation.local.process import Running
from validation.local.state import State
from validation.s3.client.endpoint import endpoint_of

BUCKET = "milvus"
ROOT_PATH = "files"
_S3_SECONDS = 60.0
_MILVUS_SECONDS = 120.0
_OK = 200
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start_s3(folder: Path, found: State, server: S3Server) -> State:
    """Start the S3 server and create the bucket.

    Args:
        folder: Of the stack.
        found: The stack so far.
        server: Which one.

    Returns:
        The stack with this server, as it is remembered.

    Raises:
        EmbeddedStackError: It did not come up, or refuses to create the bucket.
    """
    port = found.ports["s3"]
    access_key, secret_key = (file.read_text() for file in state.key_files(folder))
    (folder / "s3").mkdir(exist_ok=True)
    running = process.start(
        "s3",
        server.command(folder, port),
        folder=folder,
        environment=server.environment(access_key, secret_key),
        owner=found.owner,
        off=server.off(port),
    )
    found = _remember(folder, found, running)
    endpoint = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        # In a container another process listens; there the random keys tell that it is ours.
        ours = bool(server.image) or _is_of(running, port)
        return ours and _answers(endpoint + server.health_path)

    process.await_ready(running, ready, seconds=_S3_SECONDS)
    _create_bucket(endpoint, access_key, secret_key, running)
    return found


def start_milvus(folder: Path, found: State) -> State:
    """Start Milvus on the S3 server that runs already.

    Args:
        folder: Of the stack.
        found: The stack so far.

    Returns:
        The stack with this server, as it is remembered. Its health check is green; collections
        that were loaded before a restart answer a few seconds later.

    Raises:
        EmbeddedStackError: It did not come up.
    """
    access = found.access
    s3 = {
        "host": "127.0.0.1",
        "port": access.port or found.ports["s3"],
        "bucket": BUCKET,
        "root_path": ROOT_PATH,
        "tls": access.trusted is not None,
    }
    if found.store is not None:
        endpoint = endpoint_of(found.store)
        s3 |= {"host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls}
        s3 |= {"bucket": found.store.bucket, "root_path": found.store.root.strip("/")}
        s3 |= {"region": found.store.region, "virtual": found.store.addressing == "virtual"}
    own = secured.made(folder) if found.secured else None
    milvus.write_configuration(found.server, folder, found.ports, s3, own)
    keys = access.key_files or state.key_files(folder)
    access_key, secret_key = (file.read_text() for file in keys)
    running = process.start(
        "milvus",
        [*trust.within(access.trusted), str(found.server / "bin" / "milvus"), "run", "standalone"],
        folder=folder,
        environment={
            **milvus.environment(found.server, folder, found.ports),
            **trust.environment(access.trusted),
            "MINIO_ACCESS_KEY_ID": access_key,
            "MINIO_SECRET_ACCESS_KEY": secret_key,
        },
        owner=found.owner,
    )
    found = _remember(folder, found, running)
    sessions.end(folder, found.ports["etcd"], running.alive)

    def ready() -> bool:
        served = (found.ports["metrics"], found.ports["proxy"])
        ours = all(_is_of(running, port) for port in served)
        return ours and _answers(f"http://127.0.0.1:{found.ports['metrics']}/healthz")

    process.await_ready(running, ready, seconds=_MILVUS_SECONDS)
    return found


def stop_milvus(folder: Path, found: State, *, kill: bool = False) -> None:
    """Stop Milvus so that its next start need not wait for its sessions; nothing if there is none.

    Args:
        folder: Of the stack.
        found: The stack.
        kill: Kill it, as a crash would, instead of asking it to stop.
    """
    if "milvus" in found.servers:
        running = found.servers["milvus"]
        if running.alive():  # else its ports may be a stranger's
            sessions.note(folder, found.ports["etcd"])
        process.stop(running, kill=kill)


def _remember(folder: Path, found: State, running: Running) -> State:
    found = dataclasses.replace(found, servers={**found.servers, running.name: running})
    state.write(folder, found)
    return found


def _answers(url: str) -> bool:
    with _DIRECTLY.open(url, timeout=2) as answer:
        return answer.status == _OK


def _is_of(running: Running, port: int) -> bool:
    """Return whether a port is served by the very server that was started.

    Raises:
        EmbeddedStackError: It is served by somebody else, so this server can never have it.
    """
    pid = running.server_pid()
    if pid is None:
        return False
    if ports.listens(pid, port):
        return True
    if ports.answers(port) and not ports.listens(pid, port):  # asked again: it may be up by now
        raise EmbeddedStackError(
            f"another process has taken a port of {running.name}",
            where=f"127.0.0.1:{port}",
            remedy=process.PORT_TAKEN,
        )
    return False


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
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 5}, proxies={}
        ),
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
