"""Runs commands on a host: on this one directly, on another through the ``ssh`` command."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.kubernetes.node.plan import Host
from validation.errors import MilvusKitError, MissingToolError
from validation.hosts import refusals

_SECONDS = 600
_TAIL = 1500
_SHELL = 'eval "$(cat)"'
"""Reads the whole script before it runs, so that no command can eat the rest of it."""
_PATHS = "export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
_KEPT = {"path", "home", "user", "http_proxy", "https_proxy", "no_proxy"}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a script left behind."""

    status: int
    output: str
    errors: str


@dataclasses.dataclass(frozen=True)
class Connection:
    """A way to run scripts on one host.

    Args:
        host: The host, for messages.
        command: What starts a shell there that reads its script from stdin.
    """

    host: Host
    command: tuple[str, ...]

    def run(self, script: str, *, what: str, seconds: float = _SECONDS) -> str:
        """Run a script and return its output.

        The script travels over stdin, so nothing of it shows in an argument list.

        Args:
            script: For a POSIX shell; it stops at the first command that fails.
            what: What it does, for the error, such as ``kubeadm init``.
            seconds: How long it may take.

        Raises:
            MilvusKitError: It failed; with the end of what it said.
            UnreachableError: The host cannot be reached.
        """
        done = self.attempt(script, seconds=seconds)
        if done.status:
            said = (done.errors.strip() or done.output.strip())[-_TAIL:]
            raise MilvusKitError(
                f"{what} failed with status {done.status}:\n{said}",
                where=self.host.name,
                remedy="the lines above are the host's own words; mend it there, then run again",
            )
        return done.output

    def attempt(self, script: str, *, seconds: float = _SECONDS) -> Result:
        """Run a script and return its result, whatever it is."""
        try:
            done = subprocess.run(
                self.command,
                input=_PATHS + script,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise MilvusKitError(
                f"a command did not end within {seconds:.0f} s",
                where=self.host.name,
                remedy="look at the host's load and its containerd and kubelet logs",
            ) from None
        ssh = self.host.ssh
        if ssh is not None and done.returncode == refusals.SSH_FAILED:
            where = f"{ssh.user}@{self.host.address}:{ssh.port}"
            raise refusals.refused(where, done.stderr.strip()[-300:])
        return Result(done.returncode, done.stdout, done.stderr)

    def write(self, path: str, text: str, *, mode: str = "0600") -> None:
        """Write a file whole, with its mode from the start."""
        quoted, end = shlex.quote(path), "MILVUS_KIT_END_OF_FILE"
        script = (
            f"set -e\nmkdir -p {shlex.quote(str(Path(path).parent))}\numask 077\n"
            f"cat > {quoted}.partial <<'{end}'\n{text.rstrip()}\n{end}\n"
            f"chmod {mode} {quoted}.partial\nmv {quoted}.partial {quoted}\n"
        )
        self.run(script, what=f"writing {path}", seconds=60)


def _environment() -> dict[str, str]:
    """Return what a host's services may inherit of this process: no passphrase, no credentials."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # By its own names the kit knows its processes again; its secrets are no marks.
        if name.lower() in _KEPT or (name.startswith("MILVUS_KIT_") and "PASS" not in name)
    }
    return {**kept, "LC_ALL": "C"}


@contextmanager
def connected(host: Host) -> Iterator[Connection]:
    """Open a way to a host; key files that SSH needs are gone afterwards.

    Raises:
        MissingToolError: There is no ``ssh`` command here.
    """
    if host.ssh is None:
        yield Connection(host, ("/bin/sh", "-ec", _SHELL))
        return
    with tempfile.TemporaryDirectory(prefix="milvus-kit-ssh-") as folder:
        key, known = Path(folder) / "key", Path(folder) / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(host.ssh.private_key.get_secret_value().rstrip() + "\n", encoding="utf-8")
        name = host.address if host.ssh.port == 22 else f"[{host.address}]:{host.ssh.port}"  # noqa: PLR2004  (SSH's own port)
        known.write_text(f"{name} {host.ssh.host_key}\n", encoding="utf-8")
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ControlPath": str(Path(folder) / "control"),
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "ServerAliveInterval": "15",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        target = ["-i", str(key), "-p", str(host.ssh.port), f"{host.ssh.user}@{host.address}"]
        with _shared(["ssh", "-F", "/dev/null", "-M", *flags, *target, "cat"]):
            shell = f"/bin/sh -ec '{_SHELL}'"
            yield Connection(host, ("ssh", "-F", "/dev/null", *flags, *target, shell))


@contextmanager
def _shared(command: list[str]) -> Iterator[None]:
    """Hold one connection open that all commands use; without it each opens its own.

    It ends with its input, so that it does not outlive a process that is killed.
    """
    quiet = subprocess.DEVNULL
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
    except FileNotFoundError:
        raise MissingToolError(
            "there is no ssh command here",
            where="PATH",
            remedy="install the OpenSSH client, or run this on the host itself",
        ) from None
    try:
        yield
    finally:
        holder.terminate()
        holder.communicate()
