"""Who proves what to whom: the certificates and passwords of one deployment, as Secrets.

Everything is signed by the stack's own CA, or refers to a Secret that is already there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.milvus.access import services
from infra.milvus.dependencies import etcd, log
from infra.secrets import values
from infra.secrets.authority import Authority
from infra.secrets.password import Password
from infra.settings import Settings
from infra.settings.model import SecretValue
from infra.settings.services import Kafka
from infra.storage import wiring
from infra.storage.contract import SecretKeyRef

SERVER_TLS = "milvus-tls"
CLIENT_TLS = "milvus-client-tls"
ETCD_TLS = "etcd-tls"
ETCD_CLIENT_TLS = "etcd-client-tls"
ROOT = "milvus-root"
LOG_PASSWORD = "milvus-log"  # noqa: S105  (the name of a Secret)
LOG_CA = "milvus-log-ca"
LOG_CLIENT = "milvus-log-client"
PASSWORD_KEY = "password"  # noqa: S105  (the name of a key)
ROOT_USER = "root"
MILVUS_CLIENT = "milvus"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Names of Secrets in the namespace; None where there is no such Secret.

    ``fingerprints`` change when the Secret of that purpose does; ``made`` are our own Secrets.
    """

    server_tls: str | None = None
    client_tls: str | None = None
    etcd_tls: str | None = None
    etcd_client_tls: str | None = None
    ca_pem: pulumi.Output[str] | None = None
    root_password: SecretKeyRef | None = None
    root_password_value: pulumi.Output[str] | None = None
    log_password: SecretKeyRef | None = None
    log_ca: SecretKeyRef | None = None
    fingerprints: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    made: tuple[pulumi.Resource, ...] = ()


class Identities:
    """Makes the Secrets, and remembers them."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterContract,
        authority: Authority,
        etcd_plan: etcd.EtcdPlan,
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._authority = authority
        self._etcd_plan = etcd_plan
        self._opts = opts
        self._made: list[pulumi.Resource] = []
        self._fingerprints: dict[str, pulumi.Input[str]] = {}

    def create(self) -> Identity:
        """Return the deployment's identity."""
        server, client, ca_pem = self._server()
        etcd_server, etcd_client = self._etcd()
        root, root_value = self._root()
        password, ca = self._log()
        return Identity(
            server_tls=server,
            client_tls=client,
            etcd_tls=etcd_server,
            etcd_client_tls=etcd_client,
            ca_pem=ca_pem,
            root_password=root,
            root_password_value=root_value,
            log_password=password,
            log_ca=ca,
            fingerprints=self._fingerprints,
            made=tuple(self._made),
        )

    def _server(self) -> tuple[str | None, str | None, pulumi.Output[str] | None]:
        """Return the server's Secret, a client's, and the CA that signed them."""
        tls = self._settings.milvus.tls
        if tls.mode == "off":
            return None, None, None
        if tls.existing_secret:
            there = values.existing(tls.existing_secret, self._cluster, SERVER_TLS)
            certificate = values.text_of(there, "tls.crt")
            ca = values.text_of(there, "ca.crt")
            self._fingerprints["server-tls"] = values.fingerprint(certificate, ca)
            return tls.existing_secret, tls.existing_client_secret, pulumi.Output.unsecret(ca)
        hosts = services.certificate_hosts(self._settings.milvus, self._cluster.namespace)
        self._signed(SERVER_TLS, hosts, "server-tls")
        client = None
        if tls.mode == "mutual":
            client = CLIENT_TLS
            self._signed(CLIENT_TLS, [], "client-tls", client=True, common_name=MILVUS_CLIENT)
        return SERVER_TLS, client, self._authority.ca_pem

    def _etcd(self) -> tuple[str | None, str | None]:
        if not self._settings.etcd.tls:
            return None, None
        hosts = self._etcd_plan.certificate_hosts()
        # A member is a server to Milvus and a client to the other members.
        self._signed(ETCD_TLS, list(hosts), "etcd-server-tls", client=True, common_name=etcd.NAME)
        # No names in a client's certificate: etcd would compare them with the pod's address.
        self._signed(ETCD_CLIENT_TLS, [], "etcd-tls", client=True, common_name=MILVUS_CLIENT)
        return ETCD_TLS, ETCD_CLIENT_TLS

    def _root(self) -> tuple[SecretKeyRef | None, pulumi.Output[str] | None]:
        auth = self._settings.milvus.auth
        if not auth.enabled:
            return None, None
        if auth.root_password is not None:
            return self._password(ROOT, auth.root_password, "root-password")
        value = Password("milvus-root-password", opts=self._opts).secret
        return self._own(ROOT, {PASSWORD_KEY: value}, "root-password"), value

    def _log(self) -> tuple[SecretKeyRef | None, SecretKeyRef | None]:
        settings = self._settings.log
        source = log.credential(settings)
        password = None
        if source is not None:
            password, _ = self._password(LOG_PASSWORD, source, "log")
        client = settings.existing_client_secret if isinstance(settings, Kafka) else None
        if client is not None:
            there = values.existing(client, self._cluster, LOG_CLIENT)
            pair = (values.text_of(there, key) for key in ("tls.crt", "tls.key"))
            self._fingerprints["log-client"] = values.fingerprint(*pair)
        ca = settings.ca if isinstance(settings, Kafka) else None
        if ca is None:
            return password, None
        if ca.existing_secret is not None:
            there = ca.existing_secret
            text = values.text_of(values.existing(there.name, self._cluster, LOG_CA), there.key)
            self._fingerprints["log-ca"] = values.fingerprint(text)
            return password, SecretKeyRef(there.name, there.key)
        pem = pulumi.Output.from_input(ca.pem or "")
        return password, self._own(LOG_CA, {wiring.CA_KEY: pem}, "log-ca", key=wiring.CA_KEY)

    def _password(
        self, name: str, source: SecretValue, purpose: str
    ) -> tuple[SecretKeyRef, pulumi.Output[str]]:
        value = values.value(source, self._cluster, name)
        if source.existing_secret is not None:
            self._fingerprints[purpose] = values.fingerprint(value, guessable=True)
            return SecretKeyRef(source.existing_secret.name, source.existing_secret.key), value
        return self._own(name, {PASSWORD_KEY: value}, purpose), value

    def _own(
        self,
        name: str,
        data: dict[str, pulumi.Output[str]],
        purpose: str,
        *,
        key: str = PASSWORD_KEY,
    ) -> SecretKeyRef:
        guessable = key == PASSWORD_KEY
        self._fingerprints[purpose] = values.fingerprint(*data.values(), guessable=guessable)
        self._made.append(
            kinds.Secret(
                name,
                type="Opaque",
                metadata={"name": name, "namespace": self._cluster.namespace},
                stringData=data,
                opts=self._opts,
            )
        )
        return SecretKeyRef(name, key)

    def _signed(
        self,
        name: str,
        hosts: list[str],
        purpose: str,
        *,
        client: bool = False,
        common_name: str = "",
    ) -> None:
        secret = self._authority.tls_secret(
            name, hosts, self._cluster, client=client, common_name=common_name
        )
        self._fingerprints[purpose] = self._authority.fingerprints[name]
        self._made.append(secret)
