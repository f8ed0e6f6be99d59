"""A store outside the cluster: an X10000 or another S3, adopted, or provisioned on an X10000."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.kubernetes.contract import ClusterContract
from infra.secrets import values
from infra.settings import Settings, conformance
from infra.settings.storage import S3, X10000, GreenLake
from infra.storage import policy, wiring
from infra.storage.contract import StorageContract
from infra.storage.greenlake.resources import GreenLakeBucket, GreenLakePolicy, GreenLakeUser


class ExternalStore(pulumi.ComponentResource):
    """A store that is reached at an endpoint.

    Args:
        name: Pulumi name.
        settings: The stack's settings.
        cluster: Where Milvus runs.
        opts: Resource options.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        cluster: ClusterContract,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("milvus-kit:storage:ExternalStore", name, None, opts)
        storage = settings.storage
        if not isinstance(storage, (S3, X10000)):
            raise TypeError("these settings are not those of a store outside")
        child = pulumi.ResourceOptions(parent=self)
        made: tuple[pulumi.Resource, ...] = ()
        if isinstance(storage, X10000) and storage.greenlake is not None:
            made, keys = _provisioned(storage, storage.greenlake, cluster, child)
        elif storage.credentials is not None:
            keys = wiring.adopted_keys(storage.credentials, cluster, child)
        else:
            raise AssertionError("the settings require a key")
        ca = wiring.adopted_ca(storage.ca, cluster, child)
        self.contract = _contract(self, storage, keys, ca, (*made, *keys.made))
        self.register_outputs({"endpoint": storage.endpoint, "bucket": storage.bucket})


def _provisioned(
    storage: X10000, greenlake: GreenLake, cluster: ClusterContract, opts: pulumi.ResourceOptions
) -> tuple[tuple[pulumi.Resource, ...], wiring.Keys]:
    """Make bucket, policy and user through GreenLake."""
    connection: dict[str, pulumi.Input[Any]] = {
        "base_url": greenlake.url(),
        "token_url": greenlake.token_url,
        "system_id": greenlake.system_id,
        "client_id": values.configured(greenlake.client_id),
        "client_secret": values.configured(greenlake.client_secret),
        "task_timeout": greenlake.task_timeout_seconds,
    }
    guarded = pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(protect=storage.protect, depends_on=list(cluster.ready))
    )
    bucket = GreenLakeBucket(
        "milvus-bucket",
        {
            **connection,
            "name": storage.bucket,
            "compression": greenlake.compression,
            "tags": [{"key": tag.key, "value": tag.value} for tag in greenlake.tags],
            "owner": f"{pulumi.get_project()}/{pulumi.get_stack()}",
        },
        pulumi.ResourceOptions.merge(
            guarded, pulumi.ResourceOptions(retain_on_delete=storage.retain_on_delete)
        ),
    )
    rules = GreenLakePolicy(
        "milvus-policy",
        {
            **connection,
            "name": greenlake.policy_name,
            "policy": policy.for_bucket(storage.bucket),
        },
        pulumi.ResourceOptions.merge(guarded, pulumi.ResourceOptions(depends_on=[bucket])),
    )
    user = GreenLakeUser(
        "milvus-user",
        {
            **connection,
            "name": greenlake.user_name,
            "policies": [greenlake.policy_name],
            "generation": 1,
        },
        pulumi.ResourceOptions.merge(guarded, pulumi.ResourceOptions(depends_on=[rules])),
    )
    keys = wiring.keys_secret(
        pulumi.Output.secret(greenlake.user_name),
        pulumi.Output.secret(user.secret_key),
        cluster,
        opts,
    )
    return (bucket, rules, user), keys


def _contract(
    whole: pulumi.Resource,
    storage: S3 | X10000,
    keys: wiring.Keys,
    ca: wiring.Ca | None,
    ready: tuple[pulumi.Resource, ...],
) -> StorageContract:
    return StorageContract(
        whole=whole,
        provider=storage.type,
        endpoint=storage.endpoint,
        public_endpoint=storage.endpoint,
        bucket=storage.bucket,
        root_path=storage.root_path,
        region=storage.region,
        addressing=storage.addressing,
        credentials=keys.refs,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        ca=ca.ref if ca else None,
        ca_pem=ca.pem if ca else None,
        fingerprint=values.fingerprint(
            keys.access_key, keys.secret_key, *((ca.pem,) if ca else ())
        ),
        pods=None,
        versioning=storage.versioning,
        object_lock=storage.object_lock,
        encryption=storage.encryption,
        checksums=conformance.checksums(storage),
        ready=ready + (ca.made if ca else ()),
    )
