"""The root file system of a container that behaves as a host: a Debian with sshd and two users."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e import command
from tests.e2e.images import bases

_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "dbus",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "mount",
    "nftables",
    "openssh-server",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
)
_SSHD = """ListenAddress {address}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
UsePAM no
PrintMotd no
"""


def fill(root: Path, *, name: str, address: str, gateway: str, key: Path) -> str:
    """Make a root file system with an SSH host key of its own; return the public one.

    Args:
        root: Folder that it becomes.
        name: Its host name.
        address: That its sshd listens on.
        gateway: Its name server.
        key: File with the private key that it lets in, as root and as the ordinary user ``kit``;
            the public one is beside it.

    Raises:
        MilvusKitError: A tool that this takes failed, or is missing; with its last words.
    """
    root.mkdir()
    debian = bases.bootstrapped("node", _PACKAGES)
    command.run(
        ["tar", "-xf", debian, "-C", root],
        where=f"unpacking {debian} to {root}",
        remedy=f"check the free disk space; if the file is damaged, remove {debian.parent}",
    )
    ssh = root / "etc/ssh"
    for old in ssh.glob("ssh_host_*"):
        old.unlink()
    host = ssh / "ssh_host_ed25519_key"
    make_key(host)
    (ssh / "sshd_config").write_text(_SSHD.format(address=address), encoding="utf-8")
    shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
    command.run(
        ["useradd", "--root", root, "--uid", "1000", "--password", "*", "kit"],
        where=f"adding an ordinary user in {root}",
        remedy=f"run as root; if the system in it is damaged, remove {debian.parent}",
    )
    (root / "etc/hostname").write_text(f"{name}\n", encoding="utf-8")
    # It would set the kernel of the whole machine.
    (root / "etc/systemd/system/systemd-sysctl.service").symlink_to("/dev/null")
    (root / "etc/resolv.conf").write_text(f"nameserver {gateway}\n", encoding="utf-8")
    return " ".join(host.with_suffix(".pub").read_text(encoding="utf-8").split()[:2])


def make_key(path: Path) -> Path:
    """Make an SSH key without a passphrase; return its path."""
    command.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path],
        where=f"making the key {path}",
        remedy="check that its folder can be written to, and that there is no such file yet",
    )
    return path
