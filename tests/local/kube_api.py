"""An API server of Kubernetes without a cluster: etcd and kube-apiserver, on 127.0.0.1 alone."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.waiting import eventually
from validation.local import ports

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@contextlib.contextmanager
def running(kubernetes: Path, etcd: Path, folder: Path) -> Iterator[Kubectl]:
    """Run an API server; yield a function that runs ``kubectl`` against it.

    Args:
        kubernetes: Folder with kube-apiserver and kubectl.
        etcd: The command.
        folder: For files and logs.
    """
    found = ports.pick(["etcd", "peer", "api"])
    store = f"http://127.0.0.1:{found['etcd']}"
    peer = f"http://127.0.0.1:{found['peer']}"
    token = secrets.token_hex(16)
    (folder / "tokens").write_text(f'{token},admin,1,"system:masters"\n', encoding="utf-8")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "key").write_bytes(key.private_bytes(*pem, serialization.NoEncryption()))
    commands = {
        "etcd": [
            *(str(etcd), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", store, "--advertise-client-urls", store),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ],
        "api": [
            str(kubernetes / "kube-apiserver"),
            *("--etcd-servers", store, "--bind-address", "127.0.0.1"),
            *("--secure-port", str(found["api"]), "--cert-dir", str(folder / "certs")),
            *("--service-cluster-ip-range", "10.0.0.0/24", "--token-auth-file", f"{folder}/tokens"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", f"{folder}/key"),
            *("--service-account-signing-key-file", f"{folder}/key"),
            *("--advertise-address", "127.0.0.1", "--disable-admission-plugins", "ServiceAccount"),
        ],
    }

    def kubectl(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        server = ("--server", f"https://127.0.0.1:{found['api']}", "--token", token)
        return subprocess.run(
            [str(kubernetes / "kubectl"), *server, "--insecure-skip-tls-verify", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    with contextlib.ExitStack() as stopping:
        for name, command in commands.items():
            log = stopping.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stopping.callback(process.wait, 30)
            stopping.callback(process.terminate)
        eventually(lambda: kubectl("get", "--raw", "/readyz").returncode == 0, seconds=120)
        yield kubectl
