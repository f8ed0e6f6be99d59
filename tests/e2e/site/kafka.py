"""A Kafka outside the cluster: TLS alone, its certificate of a private CA, a user with SCRAM."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import secrets
import shutil
import socket
import ssl
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.secrets import x509
from tests.e2e import command
from tests.e2e.images import bases
from tests.e2e.site.process import serving, until
from validation.errors import MissingToolError

USER = "milvus"
_ITERATIONS = 4096
_LIBRARIES = "opt/kafka/libs"


@dataclasses.dataclass(frozen=True)
class Kafka:
    """A running broker.

    Args:
        ca_pem: Of the CA that signed its certificate.
        password: Of its user.
    """

    ca_pem: str
    password: str = dataclasses.field(repr=False)


@contextmanager
def kafka(host: str, port: int, folder: Path, log: Path) -> Iterator[Kafka]:
    """Run a broker that is its own controller.

    Args:
        host: Address it listens on, and the one name in its certificate.
        port: For clients; the next two are its own, on the loopback interface.
        folder: For its data and its key; removed by whoever made it.
        log: Where its output is kept.

    Raises:
        MissingToolError: There is no ``java`` on PATH.
        MilvusKitError: It does not come up; with what it said.
    """
    java = shutil.which("java")
    if java is None:
        raise MissingToolError("there is no java", where="PATH", remedy="install a JRE of 17")
    ca = x509.authority("kafka-elsewhere")
    leaf = x509.issue(ca, "kafka", [host], client=False)
    pem = folder / "server.pem"
    pem.touch(mode=0o600)
    pem.write_text(leaf.key + leaf.certificate, encoding="utf-8")
    made = Kafka(ca.certificate, secrets.token_urlsafe(24))
    properties = folder / "server.properties"
    properties.write_text(_properties(host, port, folder), encoding="utf-8")
    run = [java, "-Xms256m", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    run += ["-cp", f"{_libraries(folder)}/*"]
    _format(run, properties, made.password)
    trusted = ssl.create_default_context(cadata=ca.certificate)

    def answers() -> None:
        with (
            socket.create_connection((host, port), timeout=2) as plain,
            trusted.wrap_socket(plain, server_hostname=host),
        ):
            pass

    with serving([*run, "kafka.Kafka", properties], log, os.environ) as process:
        until(answers, process, log)
        yield made


def _libraries(folder: Path) -> Path:
    """Return a folder with Kafka's jars, taken out of the image's layer."""
    with tarfile.open(bases.kafka()) as layer:
        jars = [one for one in layer.getmembers() if one.name.startswith(_LIBRARIES)]
        layer.extractall(folder, jars, filter="data")
    return folder / _LIBRARIES


def _format(run: Sequence[str], properties: Path, password: str) -> None:
    """Format the broker's folder and make its user.

    The user's credential stands in a file as long as this takes: everybody on this machine sees the
    arguments of its processes.

    Raises:
        MilvusKitError: The storage tool failed; with its last words.
    """
    identity = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    credential, salted = _credential(password)
    arguments = properties.with_name("user")
    arguments.touch(mode=0o600)
    try:
        arguments.write_text(f"--add-scram\n{credential}\n", encoding="utf-8")
        command.run(
            [
                *(*run, "kafka.tools.StorageTool", "format"),
                *(f"--cluster-id={identity}", "--config", properties, f"@{arguments}"),
            ],
            where=f"formatting the folder of the Kafka in {properties}",
            remedy="check the free disk space, and that this java is of 17 or later",
            hidden=[salted],
        )
    finally:
        arguments.unlink()


def _credential(password: str) -> tuple[str, str]:
    """Return a SCRAM credential as the storage tool takes it, and the part that is secret.

    The password is not in it, but whoever knows the salted one can pass for the user.
    """
    salt = base64.b64encode(secrets.token_bytes(24)).decode()
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), _ITERATIONS)
    salted = base64.b64encode(digest).decode()
    parts = f'name={USER},iterations={_ITERATIONS},salt="{salt}",saltedpassword="{salted}"'
    return f"SCRAM-SHA-512=[{parts}]", salted


def _properties(host: str, port: int, folder: Path) -> str:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{port + 1}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENTS://{host}:{port},CONTROLLER://127.0.0.1:{port + 1},"
        f"ITSELF://127.0.0.1:{port + 2}",
        "advertised.listeners": f"CLIENTS://{host}:{port},ITSELF://127.0.0.1:{port + 2}",
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT,ITSELF:PLAINTEXT",
        "inter.broker.listener.name": "ITSELF",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": module,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "log.dirs": str(folder / "data"),
        "num.partitions": "1",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "message.max.bytes": str(10 * 2**20),
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
