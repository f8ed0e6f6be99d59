"""SeaweedFS on loopback: master, volume server, filer and S3 gateway in one process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.local.s3_servers import ACCESS, SECRET, free_port, running
from tests.stores.parts import SEAWEEDFS, command


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Run it and give its endpoint."""
    keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = {"name": "kit", "credentials": keys, "actions": actions}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    # The gRPC port of each is 10,000 above unless it is named.
    more = {f"{name}.port.grpc": free_port() for name in ports}
    options = {f"{name}.port": port for name, port in ports.items()} | more
    start = [command(SEAWEEDFS), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-s3"]
    start += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=0"]
    start += ["-master.volumeSizeLimitMB=1024", "-volume.minFreeSpace=1", f"-s3.config={config}"]
    start += [f"-{name}={value}" for name, value in options.items()]
    with running(
        start, port=ports["s3"], environment={}, log=folder / "seaweedfs.log", ready="/status"
    ) as endpoint:
        yield endpoint
