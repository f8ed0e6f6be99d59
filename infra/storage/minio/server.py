"""MinIO in the cluster, with a bucket and a key of least privilege for Milvus.

Bucket, policy and user are made by the program through a port-forward of the API server: that
works with any MinIO image, because none has to hold a client or a shell, and with any cluster,
because nothing has to be opened to the outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from infra.images import resolve
from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.secrets import values
from infra.secrets.authority import Authority
from infra.secrets.password import KEY_LETTERS, Password
from infra.servers import pods
from infra.servers.started import start
from infra.settings import Settings
from infra.settings.storage import Minio as MinioSettings
from infra.storage import policy, wiring
from infra.storage.contract import StorageContract
from infra.storage.minio import objects
from infra.storage.minio.resources import MinioBucket, MinioUser

ROOT_USER = "minio-root"
POLICY = "milvus"


class Minio(pulumi.ComponentResource):
    """MinIO, its TLS, its root key, Milvus's bucket and Milvus's key.

    Args:
        name: Pulumi name.
        settings: The stack's settings.
        cluster: Where it runs.
        authority: Who signs its certificate.
        opts: Resource options.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        cluster: ClusterContract,
        authority: Authority,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("milvus-kit:storage:Minio", name, None, opts)
        storage = settings.storage
        if not isinstance(storage, MinioSettings):
            raise TypeError("these settings are not those of a MinIO")
        child = pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None)
        tls_secret, ca = _tls(storage, cluster, authority, child)
        self.plan = objects.MinioPlan(
            settings=storage,
            namespace=cluster.namespace,
            image=resolve("minio", settings.images),
            tls_secret=tls_secret,
            storage_class=cluster.storage_class,
            retain=storage.retain_on_delete,
            common=cluster.common,
        )
        before: list[pulumi.Resource] = []
        if storage.tls.mode == "generated":
            before.append(authority.tls_secret(objects.TLS_SECRET, self.plan.hosts, cluster))
        root, root_secret = _root(cluster, child)
        server, up = self._server(root, cluster, [*before, root_secret])
        connection = _connection(self.plan, storage, cluster, root, ca)
        # A server that is made anew has another UID, and may have an empty volume: what is in it is
        # put there again.
        connection |= {"server_uid": server.metadata.apply(lambda found: found.get("uid"))}
        made, keys = _bucket_and_key(storage, cluster, connection, [server, *up], child)
        self.contract = _contract(self, self.plan, keys, ca, (*up, *made, *keys.made))
        self.register_outputs({"endpoint": self.plan.endpoint, "bucket": storage.bucket})

    def _server(
        self, root: Password, cluster: ClusterContract, before: list[pulumi.Resource]
    ) -> tuple[kinds.StatefulSet, list[pulumi.Resource]]:
        """Create what runs, and return it with what waits until it does."""
        ready = list(cluster.ready)
        child = pulumi.ResourceOptions(parent=self, provider=cluster.provider, depends_on=ready)
        kinds.NetworkPolicy("minio", **objects.network_policy(self.plan), opts=child)
        # A new root key reaches the server only when it starts again.
        document = objects.statefulset(
            self.plan, {"milvus-kit/root-key": values.fingerprint(root.secret)}
        )
        keep = pulumi.ResourceOptions(
            depends_on=before,
            protect=self.plan.settings.protect,
            retain_on_delete=self.plan.settings.retain_on_delete,
        )
        options = pulumi.ResourceOptions.merge(child, keep)
        server, up = start(kinds.StatefulSet, "minio", document, cluster.access, options)
        # The provider waits for a Service until it has pods, longer than pods are waited for.
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[up]))
        service = kinds.Service("minio", **objects.service(self.plan), opts=after)
        return server, [up, service]


def _tls(
    storage: MinioSettings,
    cluster: ClusterContract,
    authority: Authority,
    opts: pulumi.ResourceOptions,
) -> tuple[str | None, wiring.Ca | None]:
    if storage.tls.mode == "off":
        return None, None
    if storage.tls.mode == "generated":
        return objects.TLS_SECRET, wiring.ca_secret(authority.ca_pem, cluster, opts)
    name = str(storage.tls.existing_secret)
    pem = pulumi.Output.unsecret(
        values.text_of(values.existing(name, cluster, "minio-tls"), wiring.CA_KEY)
    )
    return name, wiring.Ca(pem, wiring.SecretKeyRef(name, wiring.CA_KEY))


def _root(cluster: ClusterContract, opts: pulumi.ResourceOptions) -> tuple[Password, kinds.Secret]:
    password = Password("minio-root-password", opts=opts)
    secret = kinds.Secret(
        objects.ROOT_SECRET,
        metadata={"name": objects.ROOT_SECRET, "namespace": cluster.namespace},
        stringData={objects.ROOT_USER: ROOT_USER, objects.ROOT_PASSWORD: password.secret},
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(provider=cluster.provider, depends_on=list(cluster.ready)),
        ),
    )
    return password, secret


def _connection(
    plan: objects.MinioPlan,
    storage: MinioSettings,
    cluster: ClusterContract,
    root: Password,
    ca: wiring.Ca | None,
) -> dict[str, pulumi.Input[Any]]:
    """Return how the program reaches the server: by a port-forward to its pod."""
    access = cluster.access
    return {
        "namespace": cluster.namespace,
        "pod": f"{objects.NAME}-0",
        "port": objects.PORT,
        "server_name": plan.host,
        "ca_pem": ca.pem if ca else "",
        "region": storage.region,
        "root_access_key": ROOT_USER,
        "root_secret_key": root.secret,
        "kubeconfig": pulumi.Output.secret(access.kubeconfig) if access.kubeconfig else "",
        "kubeconfig_file": access.kubeconfig_file or "",
        "context": access.context or "",
    }


def _bucket_and_key(
    storage: MinioSettings,
    cluster: ClusterContract,
    connection: dict[str, pulumi.Input[Any]],
    server: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions,
) -> tuple[tuple[pulumi.Resource, ...], wiring.Keys]:
    # Both live in the server's volume: they go when it goes, without being asked.
    after = pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(depends_on=list(server), deleted_with=server[0])
    )
    access_key = Password("milvus-access-key", length=20, letters=KEY_LETTERS, opts=opts)
    secret_key = Password("milvus-secret-key", length=40, opts=opts)
    keep = pulumi.ResourceOptions(
        protect=storage.protect, retain_on_delete=storage.retain_on_delete
    )
    bucket = MinioBucket(
        "milvus-bucket",
        connection,
        storage.bucket,
        pulumi.ResourceOptions.merge(after, keep),
    )
    user = MinioUser(
        "milvus-user",
        connection,
        {
            "access_key": access_key.secret,
            "secret_key": secret_key.secret,
            "policy_name": POLICY,
            "bucket": storage.bucket,
            "policy": policy.for_bucket(storage.bucket),
        },
        pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[bucket])),
    )
    keys = wiring.keys_secret(access_key.secret, secret_key.secret, cluster, opts)
    return (bucket, user), keys


def _contract(
    whole: pulumi.Resource,
    plan: objects.MinioPlan,
    keys: wiring.Keys,
    ca: wiring.Ca | None,
    ready: tuple[pulumi.Resource, ...],
) -> StorageContract:
    storage = plan.settings
    return StorageContract(
        whole=whole,
        provider="minio",
        endpoint=plan.endpoint,
        public_endpoint=plan.public_endpoint,
        bucket=storage.bucket,
        root_path=storage.root_path,
        region=storage.region,
        addressing="path",
        credentials=keys.refs,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        ca=ca.ref if ca else None,
        ca_pem=ca.pem if ca else None,
        fingerprint=values.fingerprint(
            keys.access_key, keys.secret_key, *((ca.pem,) if ca else ())
        ),
        pods=pods.selector(objects.NAME),
        versioning="off",
        object_lock=False,
        ready=ready + (ca.made if ca else ()),
    )
