"""A whole site: its cluster, with a namespace for Milvus, and the servers outside of it."""

from __future__ import annotations

import base64
import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e import host
from tests.e2e.deployment import Deployment
from tests.e2e.site.cluster import apply, cluster, kubeconfig
from tests.e2e.site.kafka import Kafka, kafka
from tests.e2e.site.management import Effective
from tests.e2e.site.store import Store, store
from tests.infra.greenlake_server import CLIENT_ID, CLIENT_SECRET, GreenLakeServer, State

STORE_PORT, KAFKA_PORT, MANAGEMENT_PORT = 29443, 29093, 29480
_ADMIN = Path("/etc/kubernetes/admin.conf")


@dataclasses.dataclass(frozen=True)
class Site:
    """What is there before a stack is brought up.

    Args:
        kubeconfig: Path of one with two contexts.
        store: The S3 store.
        kafka: The Kafka.
        management: What the management API holds.
        client_secret: Of the API client.
    """

    kubeconfig: Path
    store: Store
    kafka: Kafka
    management: State
    client_secret: str = dataclasses.field(repr=False, default=CLIENT_SECRET)


@contextmanager
def site(deployment: Deployment, namespace: str, *, keep: bool) -> Iterator[Site]:
    """Have a site, with the stack's configuration pointing at it.

    Args:
        deployment: The stack that is to be brought up.
        namespace: For it; with the Secrets that its configuration names.
        keep: See `cluster`.
    """
    with ExitStack() as opened:
        secret = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        opened.enter_context(cluster(deployment, keep=keep))
        for name in ("store", "kafka"):
            (secret / name).mkdir()
        log = deployment.folder
        minio = deployment.tools.command("minio")
        with deployment.progress.step("an S3 store and a Kafka outside the cluster"):
            ours = opened.enter_context(
                store(minio, host.ADDRESS, STORE_PORT, secret / "store", log / "store.log")
            )
            broker = opened.enter_context(
                kafka(host.ADDRESS, KAFKA_PORT, secret / "kafka", log / "kafka.log")
            )
        api = opened.enter_context(GreenLakeServer(Effective(ours.admin()), MANAGEMENT_PORT))
        apply(deployment, _objects(namespace, ours, broker))
        opened.callback(deployment.kubectl, "delete", "namespace", namespace, "--wait=false")
        made = Site(kubeconfig(_ADMIN, secret), ours, broker, api.state)
        _configure(deployment, made)
        yield made


def _objects(namespace: str, ours: Store, broker: Kafka) -> list[dict[str, Any]]:
    secrets = {
        "store-ca": {"ca.crt": ours.ca_pem},
        "kafka-ca": {"ca.crt": broker.ca_pem},
        "kafka-user": {"password": broker.password},
    }
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": level},
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "data": {
                    key: base64.b64encode(text.encode()).decode() for key, text in one.items()
                },
            }
            for name, one in secrets.items()
        ),
    ]


def _configure(deployment: Deployment, made: Site) -> None:
    """Say where the cluster is, and give the stack the secrets of its own."""
    if not deployment.exists():
        deployment.pulumi.run("stack", "init", deployment.stack)
    for name, value in {
        "greenlakeClientId": CLIENT_ID,
        "greenlakeClientSecret": made.client_secret,
    }.items():
        key = f"milvus-kit:{name}"
        deployment.pulumi.run("config", "set", "--secret", key, "-s", deployment.stack, given=value)
    place = {"kubeconfigFile": str(made.kubeconfig)}
    deployment.edit(lambda config: config["milvus-kit:kubernetes"].update(place))
