"""What the tests change on this machine besides the cluster, recorded so that it can be undone.

An address of the cluster's own on the loopback interface, so that nothing of it is reached from
outside, and a link to the image archives. ``python -m tests.e2e.clean`` undoes both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from infra.kubernetes.node.plan import RECORD
from tests.e2e import policy_engine, strays
from validation.errors import MilvusKitError, MissingToolError, OwnershipError

ADDRESS = "10.213.0.1"
IMAGES = Path("/var/lib/milvus-kit/images")
SMALL_DISK = Path("/run/milvus-kit-small-disk")
"""Where tests mount a file system that is to be full."""
_VOLUMES = Path("/var/lib/milvus-kit/volumes")
_SPACE_GIB = 2
_RECORD = Path("/var/lib/milvus-kit/e2e.json")


def require_root() -> None:
    """Make sure that a cluster can be made here.

    Raises:
        MissingToolError: We are not root.
    """
    if os.geteuid() != 0:
        raise MissingToolError(
            "the end-to-end tests make a Kubernetes node of this machine and need root",
            where="user",
            seen=os.geteuid(),
            remedy="run them as root on a machine that may become a node; `make test` needs none",
        )


def require_space(folder: Path) -> None:
    """Make sure that a run's evidence, state and images fit where they are to be kept.

    Raises:
        MilvusKitError: They do not; the file system is named.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free / 2**30
    if free < _SPACE_GIB:
        raise MilvusKitError(
            f"the disk is full: {free:.1f} GiB are free, a run needs {_SPACE_GIB}",
            where=str(there),
            remedy="make room, or name another place by MILVUS_KIT_E2E_RUNS (runs) and"
            " MILVUS_KIT_CACHE (tools and images)",
        )


def node_record() -> dict[str, str]:
    """Return the record of the kit's node on this machine; empty if there is none."""
    path = Path(RECORD)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def require_no_cluster() -> None:
    """Make sure that no cluster is here yet.

    Raises:
        OwnershipError: One is; it is named.
    """
    record = node_record()
    if record:
        ours = is_prepared()
        raise OwnershipError(
            "a cluster of an earlier run is on this machine"
            if ours
            else "this machine is a node of a cluster that no end-to-end run made",
            where=RECORD,
            seen=f"{record.get('cluster')} since {record.get('since')}",
            remedy="`make e2e-clean` gives the machine back"
            if ours
            else "run the end-to-end tests on another machine, or destroy that stack first",
        )


def is_prepared() -> bool:
    """Return whether an end-to-end run has prepared this machine, and so made its node."""
    return _RECORD.exists()


def prepare(archives: Path) -> None:
    """Give this machine the cluster's address, and the node its image archives.

    Raises:
        OwnershipError: Something of that name is there, and no run of ours made it.
    """
    IMAGES.parent.mkdir(parents=True, exist_ok=True)
    there = _has_address()
    if not is_prepared():
        if IMAGES.exists() or IMAGES.is_symlink():
            raise OwnershipError(
                "this is where the end-to-end tests put their image archives, and it is taken",
                where=str(IMAGES),
                remedy="move it away: no end-to-end run made it",
            )
        address = "" if there else ADDRESS  # an address of somebody else's is not ours to remove
        record = {"address": address, "images": str(IMAGES), "volumes": sorted(_volumes())}
        _RECORD.write_text(json.dumps(record), encoding="utf-8")
    if not there:
        _ip("addr", "add", f"{ADDRESS}/32", "dev", "lo")
    IMAGES.unlink(missing_ok=True)
    IMAGES.symlink_to(archives)


def restore() -> list[str]:
    """Undo `prepare`, and what a killed test left mounted; return what was undone."""
    undone = []
    if SMALL_DISK.is_mount():
        subprocess.run(["umount", SMALL_DISK], check=True)
        undone.append(f"mount {SMALL_DISK}")
    if not _RECORD.exists():
        return undone
    record = json.loads(_RECORD.read_text(encoding="utf-8"))
    if record["address"] and _has_address():
        _ip("addr", "del", f"{record['address']}/32", "dev", "lo")
        undone.append(f"address {record['address']} on lo")
    if Path(record["images"]).is_symlink():
        Path(record["images"]).unlink()
        undone.append(record["images"])
    # What was there before belongs to somebody; if nobody wrote that down, everything does.
    for name in _volumes() - set(record.get("volumes", _volumes())):
        shutil.rmtree(_VOLUMES / name)
        undone.append(f"volume {name}")
    undone += [f"address set {name}" for name in policy_engine.remove_sets()]
    _RECORD.unlink()
    for folder in (_VOLUMES, _RECORD.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return undone


def _has_address() -> bool:
    return f"inet {ADDRESS}/" in _ip("-o", "addr", "show", "dev", "lo")


def _volumes() -> set[str]:
    return {one.name for one in _VOLUMES.iterdir()} if _VOLUMES.is_dir() else set()


def leftovers() -> list[str]:
    """Return what of a cluster is still on this machine: processes, mounts, interfaces, files."""
    found = strays.left()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        if Path(command).name in _PROCESSES:
            found.append(f"process {folder.name} {command}")
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4] for line in mounts]
    found += [f"mount {point}" for point in points if point.startswith(_MOUNTS)]
    links = _ip("-o", "link", "show")
    found += [f"interface {name}" for name in ("mkit0", "veth") if name in links]
    found += [f"file {path}" for path in _FILES if Path(path).exists()]
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    lines = [line.strip(" {\t") for line in rules.stdout.splitlines() if line.endswith("{")]
    ours = ("kube", "KUBE-", "CNI-")
    found += [f"firewall {line}" for line in lines if any(one in line for one in ours)]
    found += [f"address set {name}" for name in policy_engine.sets()]
    hierarchies = Path("/sys/fs/cgroup")
    groups = [*hierarchies.glob("kubepods*"), *hierarchies.glob("*/kubepods*")]
    found += [f"cgroup {path}" for path in groups]
    return found


_PROCESSES = {
    "containerd",
    "containerd-shim-runc-v2",
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "coredns",
    "local-path-provisioner",
}
_MOUNTS = ("/var/lib/kubelet", "/run/milvus-kit", "/var/lib/milvus-kit")
_FILES = (
    "/etc/kubernetes",
    "/var/lib/kubelet",
    "/var/lib/etcd",
    "/var/lib/milvus-kit/node",
    "/run/milvus-kit",
    "/etc/cni/net.d/10-milvus-kit.conflist",
)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
