"""A stack's own CA and the certificates it signs, as resources that renew themselves.

A certificate with less than thirty days left is signed again by the next `up`; until then nothing
changes. The CA lives ten years and is renewed before a certificate could outlive it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.provider import Provider
from infra.secrets import values
from infra.secrets.validity import RENEW_CA_DAYS, RENEW_LEAF_DAYS, days_left


class AuthorityProvider(Provider):
    """Makes a CA once."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the CA."""
        from infra.secrets import x509  # noqa: PLC0415  (slow to import; programs only declare)

        pair = x509.authority(props["common_name"])
        made = {"certificate": pair.certificate, "key": pair.key, "not_after": pair.not_after}
        return CreateResult(secrets.token_hex(8), {**props, **made})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace it when its name has changed or its end comes near."""
        changed = [key for key in ("common_name",) if olds[key] != news[key]]
        if days_left(olds["not_after"]) < RENEW_CA_DAYS:
            changed.append("not_after")
        return DiffResult(changes=bool(changed), replaces=changed)


class AuthorityKey(Resource, name="CertificateAuthority"):
    """The CA's certificate and key."""

    certificate: pulumi.Output[str]
    key: pulumi.Output[str]

    def __init__(
        self, resource_name: str, common_name: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            AuthorityProvider(),
            resource_name,
            {"common_name": common_name, "certificate": None, "key": None, "not_after": None},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=["key"])
            ),
        )


class CertificateProvider(Provider):
    """Signs a certificate, again when its names, its CA or its remaining time ask for it."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make a key and sign its certificate."""
        return CreateResult(secrets.token_hex(8), self._issued(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Make a new key and sign its certificate."""
        return UpdateResult(self._issued(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Sign again when something it is made from has changed, or its end comes near."""
        made_from = ("common_name", "hosts", "client", "ca_certificate")
        changed = any(olds[key] != news[key] for key in made_from)
        return DiffResult(changes=changed or days_left(olds["not_after"]) < RENEW_LEAF_DAYS)

    def _issued(self, props: dict[str, Any]) -> dict[str, Any]:
        from infra.secrets import x509  # noqa: PLC0415  (as above)

        ca = x509.KeyPair(props["ca_certificate"], props["ca_key"], "")
        pair = x509.issue(
            ca, props["common_name"], list(props["hosts"]), client=bool(props["client"])
        )
        made = {"certificate": pair.certificate, "key": pair.key, "not_after": pair.not_after}
        return {**props, **made}


class Certificate(Resource, name="Certificate"):
    """A certificate signed by the stack's CA, and its key."""

    certificate: pulumi.Output[str]
    key: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            CertificateProvider(),
            resource_name,
            {**inputs, "certificate": None, "key": None, "not_after": None},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=["key", "ca_key"])
            ),
        )


class Authority(pulumi.ComponentResource):
    """The CA of one stack.

    Args:
        name: Pulumi name, and the CA's common name.
        opts: Resource options.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("milvus-kit:secrets:Authority", name, None, opts)
        after = pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None)
        self._key = AuthorityKey(name, name, after)
        self.ca_pem = self._key.certificate
        self.fingerprints: dict[str, pulumi.Output[str]] = {}
        """By the name of a Secret, what changes when its certificate does."""
        self.register_outputs({"ca_pem": self.ca_pem})

    def issue(
        self, name: str, hosts: Sequence[str], *, client: bool = False, common_name: str = ""
    ) -> Certificate:
        """Return a certificate for some hosts.

        Args:
            name: Pulumi name.
            hosts: DNS names and IP addresses.
            client: Whether it may also identify a client.
            common_name: Subject; default: the first host.
        """
        inputs: dict[str, pulumi.Input[Any]] = {
            "common_name": common_name or (hosts[0] if hosts else name),
            "hosts": list(hosts),
            "client": client,
            "ca_certificate": self._key.certificate,
            "ca_key": pulumi.Output.secret(self._key.key),
        }
        return Certificate(name, inputs, pulumi.ResourceOptions(parent=self))

    def tls_secret(
        self,
        name: str,
        hosts: Sequence[str],
        cluster: ClusterContract,
        *,
        client: bool = False,
        common_name: str = "",
    ) -> kinds.Secret:
        """Return a Secret of that name with ``tls.crt``, ``tls.key`` and ``ca.crt``."""
        certificate = self.issue(name, hosts, client=client, common_name=common_name)
        self.fingerprints[name] = values.fingerprint(certificate.certificate, self.ca_pem)
        return kinds.Secret(
            name,
            type="kubernetes.io/tls",
            metadata={"name": name, "namespace": cluster.namespace},
            stringData={
                "tls.crt": certificate.certificate,
                "tls.key": pulumi.Output.secret(certificate.key),
                "ca.crt": self.ca_pem,
            },
            opts=pulumi.ResourceOptions(
                parent=self, provider=cluster.provider, depends_on=list(cluster.ready)
            ),
        )
