"""The two Secrets through which pods use a store: Milvus's key, and a private CA.

Whatever the store is, they have the same names and keys, unless the settings name Secrets that are
already there.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.secrets import values
from infra.settings.model import CertificateAuthority
from infra.settings.storage import S3Credentials
from infra.storage.contract import S3KeyRefs, SecretKeyRef

KEYS = "milvus-s3"
CA = "storage-ca"
ACCESS_KEY, SECRET_KEY, CA_KEY = "accesskey", "secretkey", "ca.crt"


@dataclass(frozen=True)
class Keys:
    """An S3 key: its values, where pods find them, and the Secret if it is ours."""

    access_key: pulumi.Output[str]
    secret_key: pulumi.Output[str]
    refs: S3KeyRefs
    made: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True)
class Ca:
    """A private CA: its certificate, where pods find it, and the Secret if it is ours."""

    pem: pulumi.Output[str]
    ref: SecretKeyRef
    made: tuple[pulumi.Resource, ...] = ()


def keys_secret(
    access_key: pulumi.Output[str],
    secret_key: pulumi.Output[str],
    cluster: ClusterContract,
    opts: pulumi.ResourceOptions,
) -> Keys:
    """Return a key whose Secret is made here."""
    secret = _secret(KEYS, {ACCESS_KEY: access_key, SECRET_KEY: secret_key}, cluster, opts)
    refs = S3KeyRefs(SecretKeyRef(KEYS, ACCESS_KEY), SecretKeyRef(KEYS, SECRET_KEY))
    return Keys(access_key, secret_key, refs, (secret,))


def adopted_keys(
    credentials: S3Credentials, cluster: ClusterContract, opts: pulumi.ResourceOptions
) -> Keys:
    """Return the key that the settings refer to."""
    if credentials.config is not None:
        access_key = values.configured(credentials.config.access_key)
        secret_key = values.configured(credentials.config.secret_key)
        return keys_secret(access_key, secret_key, cluster, opts)
    there = credentials.existing_secret
    if there is None:
        raise AssertionError("the settings require one source")
    secret = values.existing(there.name, cluster, "storage-key")
    return Keys(
        values.text_of(secret, there.access_key),
        values.text_of(secret, there.secret_key),
        S3KeyRefs(
            SecretKeyRef(there.name, there.access_key), SecretKeyRef(there.name, there.secret_key)
        ),
    )


def ca_secret(pem: pulumi.Input[str], cluster: ClusterContract, opts: pulumi.ResourceOptions) -> Ca:
    """Return a CA whose Secret is made here."""
    secret = _secret(CA, {CA_KEY: pem}, cluster, opts)
    return Ca(pulumi.Output.from_input(pem), SecretKeyRef(CA, CA_KEY), (secret,))


def adopted_ca(
    ca: CertificateAuthority | None, cluster: ClusterContract, opts: pulumi.ResourceOptions
) -> Ca | None:
    """Return the CA that the settings refer to, or None for the public ones."""
    if ca is None:
        return None
    if ca.pem is not None:
        return ca_secret(ca.pem, cluster, opts)
    there = ca.existing_secret
    if there is None:
        raise AssertionError("the settings require one source")
    pem = values.text_of(values.existing(there.name, cluster, "storage-ca"), there.key)
    return Ca(pulumi.Output.unsecret(pem), SecretKeyRef(there.name, there.key))


def _secret(
    name: str,
    data: dict[str, pulumi.Input[str]],
    cluster: ClusterContract,
    opts: pulumi.ResourceOptions,
) -> kinds.Secret:
    ours = pulumi.ResourceOptions(provider=cluster.provider, depends_on=list(cluster.ready))
    return kinds.Secret(
        name,
        type="Opaque",
        metadata={"name": name, "namespace": cluster.namespace},
        stringData=data,
        opts=pulumi.ResourceOptions.merge(ours, opts),
    )
