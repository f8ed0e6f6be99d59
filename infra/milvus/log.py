"""The write-ahead log: which one, where Milvus finds it, and what its pods need for it.

A log is chosen once, for the life of the deployment: a running Milvus does not change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.milvus import kafka, pods, woodpecker
from infra.milvus.configuration import DATA_FOLDER, LOG_CA_FILE, LogStore, newer_than_23
from infra.settings import Settings
from infra.settings.model import SecretValue
from infra.settings.services import Kafka, Log, Pulsar, RocksMq, Woodpecker
from infra.storage.contract import SecretKeyRef
from validation.target import Wal

TOKEN_PLUGIN = "org.apache.pulsar.client.impl.auth.AuthenticationToken"  # noqa: S105  (a class)


@dataclass(frozen=True, kw_only=True)
class LogAccess:
    """What Milvus's pods need for the log.

    ``pods`` are the labels of the log's own pods, ``ports`` where Milvus connects; both empty for
    a log inside Milvus. ``hosts`` are brokers outside the cluster. ``password`` is the credential
    that the environment refers to, ``ca`` the private CA of the brokers.
    """

    wal: Wal
    store: LogStore
    env: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, str] | None = None
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    password: SecretKeyRef | None = None
    ca: SecretKeyRef | None = None


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
    wal = wal_of(log)
    match log:
        case RocksMq():
            sections = {"rocksmq": {"path": f"{DATA_FOLDER}/rocksmq"}}
            return LogAccess(wal=wal, store=LogStore(type="rocksmq", sections=sections))
        case Woodpecker(mode="embedded"):
            sections = {"woodpecker": {"storage": {"type": "minio"}}}
            return LogAccess(wal=wal, store=LogStore(type="woodpecker", sections=sections))
        case Woodpecker():
            return LogAccess(
                wal=wal,
                store=woodpecker.log_store(namespace, log.replicas),
                pods=pods.selector(woodpecker.NAME),
                ports=(woodpecker.SERVICE_PORT,),
            )
        case Kafka(mode="create"):
            return LogAccess(
                wal=wal,
                store=_kafka_store((kafka.address(namespace),), log, settings.milvus.version),
                pods=pods.selector(kafka.NAME),
                ports=(kafka.PORT,),
            )
        case Kafka():
            return _adopted_kafka(log, settings.milvus.version, secrets)
        case Pulsar():
            return _adopted_pulsar(log, secrets)


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
    if log.tls:
        section["ssl"] = {"enabled": True} | ({"tlsCaCert": LOG_CA_FILE} if log.ca else {})
    if log.ca and not newer_than_23(version):
        # kafka.ssl came late in 2.3; before, these sections are handed to librdkafka as they are,
        # which would else look where the pods have the store's CA.
        for client in ("consumer", "producer"):
            section[client] = {"ssl": {"ca": {"location": LOG_CA_FILE}}}
    return LogStore(type="kafka", sections={"kafka": section})


def _adopted_kafka(log: Kafka, version: str, secrets: dict[str, SecretKeyRef]) -> LogAccess:
    env = []
    password = secrets.get("password")
    if log.sasl and password:
        env = [pods.secret_env("KAFKA_SASL_PASSWORD", password.name, password.key)]
    return LogAccess(
        wal=wal_of(log),
        store=_kafka_store(log.brokers, log, version),
        env=env,
        hosts=tuple(broker.rsplit(":", 1)[0] for broker in log.brokers),
        ports=tuple(sorted({int(broker.rsplit(":", 1)[1]) for broker in log.brokers})),
        password=password,
        ca=secrets.get("ca"),
    )


def _adopted_pulsar(log: Pulsar, secrets: dict[str, SecretKeyRef]) -> LogAccess:
    section: dict[str, Any] = {
        "address": f"pulsar{'+ssl' if log.tls else ''}://{log.host}:{log.port}",
        "port": log.port,
        "webport": log.web_port,
        "tenant": log.tenant,
        "namespace": log.namespace,
    }
    env: list[dict[str, Any]] = []
    password = secrets.get("password")
    if log.token and password:
        section["authPlugin"] = TOKEN_PLUGIN
        # The kubelet puts the token together; it stands in no object but the Secret.
        env = [
            pods.secret_env("PULSAR_TOKEN", password.name, password.key),
            {"name": "PULSAR_AUTH_PARAMS", "value": "token:$(PULSAR_TOKEN)"},
        ]
    return LogAccess(
        wal=wal_of(log),
        store=LogStore(type="pulsar", sections={"pulsar": section}),
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
