"""The write-ahead log: which one, where Milvus finds it, and what its pods need for it.

A log is chosen once, for the life of the deployment: a running Milvus does not change it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from infra.milvus.dependencies import kafka, woodpecker
from infra.milvus.roles.configuration import (
    DATA_FOLDER,
    LOG_CA_FILE,
    LOG_CLIENT_FOLDER,
    LogStore,
    newer_than_23,
)
from infra.servers import pods
from infra.settings import Settings
from infra.settings.model import SecretValue
from infra.settings.services import Kafka, Log, Pulsar, RocksMq, Woodpecker
from infra.storage.contract import SecretKeyRef
from validation.common import addresses
from validation.target import Wal

TOKEN_PLUGIN = "org.apache.pulsar.client.impl.auth.AuthenticationToken"  # noqa: S105  (a class)


@dataclass(frozen=True, kw_only=True)
class LogAccess:
    """What Milvus's pods need for the log.

    ``pods`` are the labels of the log's own pods, ``ports`` where Milvus connects; both empty for
    a log inside Milvus. ``hosts`` are brokers outside the cluster. ``password`` is the credential
    that the environment refers to, ``ca`` the private CA of the brokers, ``client`` the Secret with
    Milvus's certificate for them.
    """

    wal: Wal
    store: LogStore
    env: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, str] | None = None
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    password: SecretKeyRef | None = None
    ca: SecretKeyRef | None = None
    client: str | None = None


def wal_of(log: Log) -> Wal:
    """Return the log's name in the target."""
    match log:
        case Woodpecker():
            return Wal(f"woodpecker-{log.mode}")
        case Kafka() | Pulsar() | RocksMq():
            return Wal(log.type)


def access(
    settings: Settings,
    namespace: str,
    secrets: dict[str, SecretKeyRef],
) -> LogAccess:
    """Return how Milvus reaches its log; nothing is created.

    Args:
        settings: The stack's settings.
        namespace: Where everything is deployed.
        secrets: Secrets in the namespace by purpose: ``password`` and ``ca``.
    """
    log = settings.log
    found = LogAccess(wal=wal_of(log), store=store(log, settings.milvus.version, namespace))
    match log:
        case RocksMq() | Woodpecker(mode="embedded"):
            return found
        case Woodpecker():
            selector, ports = pods.selector(woodpecker.NAME), (woodpecker.SERVICE_PORT,)
            return dataclasses.replace(found, pods=selector, ports=ports)
        case Kafka(mode="create"):
            return dataclasses.replace(found, pods=pods.selector(kafka.NAME), ports=(kafka.PORT,))
        case Kafka():
            return _adopted_kafka(found, log, secrets)
        case Pulsar():
            return _adopted_pulsar(found, log, secrets)


def store(log: Log, version: str, namespace: str) -> LogStore:
    """Return what milvus.yaml says of the log, for a version of Milvus."""
    match log:
        case RocksMq():
            sections: dict[str, Any] = {"rocksmq": {"path": f"{DATA_FOLDER}/rocksmq"}}
            return LogStore(type="rocksmq", sections=sections)
        case Woodpecker(mode="embedded"):
            sections = {"woodpecker": {"storage": {"type": "minio"}}}
            return LogStore(type="woodpecker", sections=sections)
        case Woodpecker():
            return woodpecker.log_store(namespace, log.replicas)
        case Kafka():
            brokers = log.brokers if log.mode == "adopt" else (kafka.address(namespace),)
            return _kafka_store(brokers, log, version)
        case Pulsar():
            return _pulsar_store(log)


def _kafka_store(brokers: tuple[str, ...], log: Kafka, version: str) -> LogStore:
    protocol = ("SASL_" if log.sasl else "") + ("SSL" if log.tls else "PLAINTEXT")
    section: dict[str, Any] = {
        "brokerList": ",".join(brokers),
        # Milvus's own default is SASL_SSL, so each field is written even when it is empty.
        "saslUsername": log.sasl.user if log.sasl else "",
        "saslMechanisms": log.sasl.mechanism if log.sasl else "",
        "securityProtocol": protocol,
        "readTimeout": 10,
    }
    if not log.sasl:
        section["saslPassword"] = ""
    certificate, key = (f"{LOG_CLIENT_FOLDER}/{name}" for name in ("tls.crt", "tls.key"))
    if log.tls:
        section["ssl"] = {"enabled": True} | ({"tlsCaCert": LOG_CA_FILE} if log.ca else {})
    if log.existing_client_secret:
        section["ssl"] |= {"tlsCert": certificate, "tlsKey": key}
    passed: dict[str, Any] = {"ca": {"location": LOG_CA_FILE}} if log.ca else {}
    if log.existing_client_secret:
        passed |= {"certificate": {"location": certificate}, "key": {"location": key}}
    if passed and not newer_than_23(version):
        # kafka.ssl came late in 2.3; before, these sections are handed to librdkafka as they are,
        # which would else look where the pods have the store's CA.
        section |= {client: {"ssl": passed} for client in ("consumer", "producer")}
    return LogStore(type="kafka", sections={"kafka": section})


def _adopted_kafka(found: LogAccess, log: Kafka, secrets: dict[str, SecretKeyRef]) -> LogAccess:
    env = []
    password = secrets.get("password")
    if log.sasl and password:
        env = [pods.secret_env("KAFKA_SASL_PASSWORD", password.name, password.key)]
    brokers = [addresses.split(broker) for broker in log.brokers]
    return dataclasses.replace(
        found,
        env=env,
        hosts=tuple(host for host, _ in brokers),
        ports=tuple(sorted({port for _, port in brokers})),
        password=password,
        ca=secrets.get("ca"),
        client=log.existing_client_secret,
    )


def _pulsar_store(log: Pulsar) -> LogStore:
    section: dict[str, Any] = {
        "address": f"pulsar{'+ssl' if log.tls else ''}://{addresses.netloc(log.host, log.port)}",
        "port": log.port,
        "webport": log.web_port,
        "tenant": log.tenant,
        "namespace": log.namespace,
    }
    if log.token:
        section["authPlugin"] = TOKEN_PLUGIN
    return LogStore(type="pulsar", sections={"pulsar": section})


def _adopted_pulsar(found: LogAccess, log: Pulsar, secrets: dict[str, SecretKeyRef]) -> LogAccess:
    env: list[dict[str, Any]] = []
    password = secrets.get("password")
    if log.token and password:
        # The kubelet puts the token together; it stands in no object but the Secret.
        env = [
            pods.secret_env("PULSAR_TOKEN", password.name, password.key),
            {"name": "PULSAR_AUTH_PARAMS", "value": "token:$(PULSAR_TOKEN)"},
        ]
    return dataclasses.replace(
        found,
        env=env,
        hosts=(log.host,),
        ports=(log.port, log.web_port),
        password=password,
    )


def credential(log: Log) -> SecretValue | None:
    """Return where the log's password or token comes from, if it has one."""
    match log:
        case Kafka(sasl=sasl) if sasl is not None:
            return sasl.password
        case Pulsar(token=token):
            return token
        case _:
            return None
