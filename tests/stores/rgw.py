"""Ceph's object gateway on loopback: a cluster of one monitor and one OSD, all in memory."""

from __future__ import annotations

import contextlib
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.toolchain import debian
from tests.local.s3_servers import ACCESS, SECRET, free_port, running
from validation.common.progress import Progress

PACKAGES = {
    "radosgw": "radosgw",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "ceph-common": "ceph",
}
"""Debian's packages, each with the command that shows that it is there."""
_READY_SECONDS = 120
_CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon}]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
# On loopback and in memory: nobody proves who they are, so nothing can be sealed either.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_objectstore = memstore
memstore_device_bytes = 8589934592
mon_data_avail_warn = 1
mon_data_avail_crit = 1
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
pid_file = {folder}/$name.pid
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
"""


def version() -> str:
    """Return the version that is installed: Debian's, so that of this host's release."""
    debian.install(PACKAGES, Progress())
    return _run("radosgw", "--version").split()[2]


@contextlib.contextmanager
def rgw(folder: Path) -> Iterator[str]:
    """Run a cluster and give its endpoint; a bucket can be made with the tests' key."""
    debian.install(PACKAGES, Progress())
    mon, port, fsid = free_port(), free_port(), str(uuid.uuid4())
    conf = folder / "ceph.conf"
    conf.write_text(_CONF.format(fsid=fsid, mon=mon, folder=folder))
    for name in ("osd", "rgw"):
        (folder / name).mkdir()
    address = f"[v2:127.0.0.1:{mon}]"
    _run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, str(folder / "map"))
    _run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "map"), "-c", str(conf))
    with contextlib.ExitStack() as daemons:
        daemons.enter_context(_daemon(folder, "ceph-mon", "-i", "a"))
        disk = str(uuid.uuid4())
        _ceph(folder, "osd", "new", disk, "0")
        _run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", disk, "-c", str(conf))
        daemons.enter_context(_daemon(folder, "ceph-osd", "-i", "0"))
        _until_up(folder)
        _run(
            *("radosgw-admin", "-c", str(conf), "user", "create", "--uid", "kit"),
            *("--display-name", "kit", "--access-key", ACCESS, "--secret-key", SECRET),
        )
        gateway = ["radosgw", "-f", "-c", str(conf), "-n", "client.rgw"]
        gateway += ["--rgw-frontends", f"beast endpoint=127.0.0.1:{port}"]
        gateway += ["--rgw-dns-name", "s3.example"]
        with running(gateway, port=port, environment={}, log=folder / "radosgw.out") as endpoint:
            yield endpoint


@contextlib.contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-f", "-c", str(folder / "ceph.conf")], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.stdout


def _ceph(folder: Path, *arguments: str) -> str:
    return _run("ceph", "-c", str(folder / "ceph.conf"), "--connect-timeout", "60", *arguments)


def _until_up(folder: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while " 1 up" not in _ceph(folder, "osd", "stat"):
        assert time.monotonic() < deadline, (folder / "ceph-osd.out").read_text()
        time.sleep(0.5)
