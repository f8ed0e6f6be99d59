"""A container that behaves as a host of its own: for what needs a second node, or SSH.

Made with plain tools, since there is no container engine here: a Debian root file system
(``container_root.py``), namespaces (``container_node.sh``), a bridge of the run's own. Each has a
folder before anything else of it is begun, so that a killed run's containers are found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e import command, container_root
from validation.errors import MilvusKitError, OwnershipError

FOLDER = Path("/var/lib/milvus-kit/containers")
BRIDGE = "mkn0"
GATEWAY = "10.213.1.1"
IMAGES = "/var/lib/milvus-kit/images"
"""Where the image archives are inside."""
_COMMANDS = "/usr/local/bin"
_SCRIPT = Path(__file__).with_suffix(".sh")
_SECONDS = 120.0
_NEEDS = "a container needs root, cgroup v1 hierarchies, a bridge and veth pairs of this kernel"
_bridging = threading.Lock()  # containers may be started side by side


@dataclasses.dataclass(frozen=True)
class ContainerNode:
    """A running container.

    Args:
        name: Its host name.
        address: In the network of the containers.
        host_key: The public key that its sshd shows: type and base64.
        key: File with the private key that it lets in, as root and as the ordinary user ``kit``.
    """

    name: str
    address: str
    host_key: str
    key: Path

    @property
    def root(self) -> Path:
        """Return its root folder, seen from the machine."""
        return FOLDER / self.name / "root"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside, as root and past sshd."""
        record = json.loads((FOLDER / self.name / "record.json").read_text(encoding="utf-8"))
        inside = ["nsenter", "-t", str(record["pid"]), "-a", "/bin/sh", "-ec", script]
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=60)


def start(
    name: str, number: int, *, commands: Path, archives: Path, key: Path, systemd: bool = False
) -> ContainerNode:
    """Start a container, and wait until its sshd listens.

    Args:
        name: Its host name.
        number: Last part of its address.
        commands: Folder with kubeadm, kubelet and kubectl.
        archives: Folder with the image archives that it imports.
        key: File with a private key; its public one is beside it.
        systemd: Whether systemd runs there; if not, a shell and sshd are all there is.

    Raises:
        OwnershipError: There is a container of that name.
        MilvusKitError: It did not come up; with what it said.
    """
    own = FOLDER / name
    try:
        own.mkdir(parents=True)  # the name is its claim
    except FileExistsError:
        raise OwnershipError(
            "there is a container of that name, perhaps of a run that was killed",
            where=str(own),
            remedy="`make e2e-clean` removes it",
        ) from None
    address = f"{GATEWAY.rsplit('.', 1)[0]}.{number}"
    host_key = container_root.fill(
        own / "root", name=name, address=address, gateway=GATEWAY, key=key
    )
    node = ContainerNode(name, address, host_key, key)
    _bridge()
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("/bin/sh", str(_SCRIPT), "enter", name, str(node.root), address, GATEWAY),
                "systemd" if systemd else "sshd",
                *(f"{commands}:{_COMMANDS}", f"{archives}:{IMAGES}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _connect(node, process)
    return node


def remove(name: str) -> None:
    """End everything of a container and remove its files; one that is half there, too.

    Raises:
        MilvusKitError: A process of it does not end.
    """
    groups = _groups(name)
    deadline = time.monotonic() + _SECONDS
    while pids := {pid for group in groups for pid in _members(group)}:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise MilvusKitError(
                "processes of a container do not end",
                where=name,
                seen=pids,
                remedy="see what they wait for: `ps -o pid,stat,wchan,args -p PID`",
            )
        time.sleep(0.05)
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
    _remove_link(link(name))
    shutil.rmtree(FOLDER / name)
    for folder in (FOLDER, FOLDER.parent):
        if not any(folder.iterdir()):
            folder.rmdir()
    if not FOLDER.exists():
        _remove_link(BRIDGE)


def remove_all() -> list[str]:
    """Remove every container that a run left here; return their names."""
    names = sorted(one.name for one in FOLDER.iterdir()) if FOLDER.exists() else []
    for name in names:
        remove(name)
    return names


def leftovers(names: Sequence[str]) -> list[str]:
    """Return what is still here of containers: cgroups, interfaces, files."""
    found = [f"cgroup {group}" for name in names for group in _groups(name)]
    links = _ip("-o", "link", "show")
    found += [f"interface {one}" for one in (BRIDGE, *map(link, names)) if f" {one}" in links]
    return found + [f"file {FOLDER}"] * FOLDER.exists()


def _bridge() -> None:
    with _bridging:
        if f" {BRIDGE}:" not in _ip("-o", "link", "show"):
            _ip("link", "add", BRIDGE, "type", "bridge")
            _ip("addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")
            # Nothing from inside goes further than this machine.
            Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/forwarding").write_text("0", encoding="utf-8")


def _connect(node: ContainerNode, process: subprocess.Popen[bytes]) -> None:
    """Give the container its network and wait for sshd."""
    device, own = link(node.name), FOLDER / node.name
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + _SECONDS
    connected = False
    while process.poll() is None and time.monotonic() < deadline:
        first = children.read_text(encoding="utf-8").split()
        if first and not connected and _is_apart(first[0]):
            _ip("link", "add", device, "type", "veth", "peer", "eth0", "netns", first[0])
            _ip("link", "set", device, "master", BRIDGE, "up")
            record = json.dumps({"pid": int(first[0]), "since": time.time()})
            (own / "record.json").write_text(record, encoding="utf-8")
            connected = True
        if connected and _listens(node.address):
            return
        time.sleep(0.05)
    said = (own / "log").read_text(encoding="utf-8", errors="replace")[-500:]
    remove(node.name)
    raise MilvusKitError(f"a container did not come up: {said}", where=node.name, remedy=_NEEDS)


def _is_apart(pid: str) -> bool:
    """Tell whether a process has a network of its own: it is the container's first one then."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    except OSError:
        return False


def _listens(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, 22)) == 0


def _groups(name: str) -> list[Path]:
    return sorted(Path("/sys/fs/cgroup").glob(f"*/milvus-kit-{name}"))


def _members(group: Path) -> set[int]:
    return {
        int(pid)
        for folder, _, _ in os.walk(group)
        for pid in (Path(folder) / "cgroup.procs").read_text(encoding="utf-8").split()
    }


def link(name: str) -> str:
    """Return this machine's end of a container's interface."""
    return f"mkn-{name}"[:15]  # no interface may have a longer name


def _remove_link(name: str) -> None:
    with contextlib.suppress(MilvusKitError):  # it has gone with the container, or never came
        _ip("link", "del", name)


def _ip(*arguments: str) -> str:
    return command.run(["ip", *arguments], where="the network of the containers", remedy=_NEEDS)
