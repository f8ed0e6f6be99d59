"""Garage on loopback: one node, its metadata in SQLite."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.local.s3_servers import free_port, running
from tests.stores import installed

ACCESS, SECRET = f"GK{'a1' * 12}", "b2" * 32
"""Keys of Garage have a form of their own."""
_CONF = """\
metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
[s3_api]
api_bind_addr = "127.0.0.1:{port}"
s3_region = "us-east-1"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
"""


@contextlib.contextmanager
def garage(folder: Path) -> Iterator[str]:
    """Run it, let its key make buckets, and give its endpoint."""
    ports = {name: free_port() for name in ("port", "rpc", "admin")}
    config = folder / "garage.toml"
    config.write_text(_CONF.format(folder=folder, secret=secrets.token_hex(32), **ports))
    command = [str(installed.garage()), "-c", str(config)]
    keys = {"GARAGE_DEFAULT_ACCESS_KEY": ACCESS, "GARAGE_DEFAULT_SECRET_KEY": SECRET}
    with running(
        [*command, "server", "--single-node", "--default-access-key"],
        port=ports["port"],
        environment=keys,
        log=folder / "garage.log",
    ) as endpoint:
        allow = [*command, "key", "allow", "--create-bucket", ACCESS]
        subprocess.run(allow, check=True, capture_output=True, timeout=60)
        yield endpoint
