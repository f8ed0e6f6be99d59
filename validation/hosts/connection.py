"""Shells on the machines of a deployment: here, over ssh, in a pod. The one user of testinfra."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import testinfra

from validation.errors import MeasurementError, UnreachableError
from validation.hosts import refusals
from validation.target import Host, Kubernetes

_SECONDS = 40
_CONNECT_SECONDS = 6
_SYSTEM = "export LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
_SSH = "machine"
"""The name by which ssh's own configuration, made for one connection, knows the host."""


@dataclasses.dataclass(frozen=True)
class Shell:
    """A shell on one machine.

    Args:
        where: The machine as errors name it.
        host: testinfra's.
    """

    where: str
    host: Any

    def run(self, script: str, *, what: str) -> str:
        """Run a POSIX shell script that ends with status 0 and return its output.

        Args:
            script: It shows in argument lists: no secret may be in it.
            what: What it does, for the error.

        Raises:
            UnreachableError: The machine cannot be reached.
            MeasurementError: It did not end in time, said nothing, or ended with another status:
                then what it said may be cut off.
        """
        try:
            done = self.host.run("/bin/sh -c %s", _SYSTEM + script)
        except RuntimeError as error:  # of ssh itself
            said = getattr(error.args[0], "stderr", "").strip()[-300:]
            raise refusals.refused(self.where, said) from None
        except subprocess.TimeoutExpired:
            raise MeasurementError(
                f"{what}: no answer within {_SECONDS} s", where=self.where
            ) from None
        if done.rc or not done.stdout:
            said = (done.stderr.strip().splitlines() or [f"exit status {done.rc}"])[-1]
            kind = UnreachableError if done.rc and not done.stdout else MeasurementError
            broke = "its answer broke off: " if done.stdout else ""
            raise kind(f"{what}: {broke}{said[:300]}", where=self.where)
        return done.stdout


@contextlib.contextmanager
def on_host(host: Host) -> Iterator[Shell]:
    """Open a shell on a declared machine.

    Raises:
        UnreachableError: There is no ssh command here.
        ConfigurationError: The private key cannot be read.
    """
    if host.address is None:
        yield Shell(host.name, _opened("local://"))
        return
    _require("ssh", "install the OpenSSH client")
    with tempfile.TemporaryDirectory(prefix="milvus-kit-ssh-") as folder:
        config = Path(folder, "config")
        config.write_text(_ssh_config(host, Path(folder)), encoding="utf-8")
        shell = _opened(f"ssh://{_SSH}", ssh_config=str(config), timeout=_CONNECT_SECONDS)
        try:
            yield Shell(f"{host.user}@{host.address}:{host.port}", shell)
        finally:
            end = ["ssh", "-F", str(config), "-O", "exit", _SSH]
            subprocess.run(end, capture_output=True, check=False, timeout=_SECONDS)


@contextlib.contextmanager
def in_pod(declared: Kubernetes, pod: str, container: str) -> Iterator[Shell]:
    """Open a shell in a pod.

    Raises:
        UnreachableError: There is no kubectl command here.
    """
    _require("kubectl", "install it beside the kit")
    given: dict[str, Any] = {"namespace": declared.namespace, "container": container}
    with contextlib.ExitStack() as cleanup:
        ref = declared.kubeconfig
        if ref is not None and ref.file is not None:  # paths in it are relative to it
            given["kubeconfig"] = str(ref.file.expanduser())
        elif ref is not None:
            file = cleanup.enter_context(tempfile.NamedTemporaryFile("w", prefix="milvus-kit-"))
            file.write(ref.reveal("kubernetes.kubeconfig"))
            file.flush()
            given["kubeconfig"] = file.name
        if declared.context is not None:
            given["context"] = declared.context
        yield Shell(f"pod {pod}", _opened(f"kubectl://{pod}", **given))


def _require(command: str, remedy: str) -> None:
    if shutil.which(command) is None:
        raise UnreachableError(f"there is no {command} command here: {remedy}", where="PATH")


def _ssh_config(host: Host, folder: Path) -> str:
    """Return the configuration of one connection; keys that it needs are put into its folder."""
    options: dict[str, object] = {
        "HostName": host.address,
        "User": host.user,
        "Port": host.port,
        "BatchMode": "yes",
        "LogLevel": "ERROR",
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 3,
        "ControlMaster": "auto",
        "ControlPath": folder / "control",
        "ControlPersist": 60,
        "StrictHostKeyChecking": "yes",
    }
    if host.host_key is not None:
        known = folder / "known_hosts"
        known.write_text(f"{_SSH} {host.host_key}\n", encoding="utf-8")
        options |= {
            "HostKeyAlias": _SSH,
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": known,
        }
    if host.private_key is not None:
        key = folder / "key"
        key.touch(mode=0o600)
        text = host.private_key.reveal(f"hosts: {host.name}.private_key").strip()
        key.write_text(text + "\n", encoding="utf-8")
        options |= {"IdentityFile": key, "IdentitiesOnly": "yes"}
    lines = [f"Host {_SSH}", *(f"  {name} {value}" for name, value in options.items())]
    own = Path("~/.ssh/config").expanduser()
    if host.private_key is None and own.is_file():
        lines += ["Match all", f"  Include {own}"]
    return "\n".join(lines) + "\n"


def _opened(spec: str, **options: Any) -> Any:
    host = testinfra.get_host(spec, **options)
    backend: Any = host.backend
    backend.run_local = functools.partial(_bounded, backend)  # its own would wait for ever
    return host


def _bounded(backend: Any, command: str, *arguments: str) -> Any:
    """Run a local command as testinfra's backends do, for no longer than `_SECONDS`."""
    line = backend.quote(command, *arguments)
    process = subprocess.Popen(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(os.environ),
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=_SECONDS)
        raise
    texts = (part.decode("utf-8", errors="replace") for part in (said, errors))
    return backend.result(process.returncode, line.encode(), *texts)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what commands inherit: no secret that a target refers to by its variable."""
    kept = ("HOME", "KUBECONFIG", "PATH", "SSH_AUTH_SOCK", "USER")
    return {**{name: variables[name] for name in kept if name in variables}, "LC_ALL": "C"}
