"""One Milvus on Kubernetes: its Secrets, etcd, the log, every role in order, and who may talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from infra.guard import Guard
from infra.images import resolve
from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.milvus import operator, plans, rollout
from infra.milvus.access import network, root_password, services
from infra.milvus.access.identity import ROOT_USER, Identities, Identity
from infra.milvus.capacity.planning import Capacity, plan
from infra.milvus.contract import MilvusContract
from infra.milvus.dependencies import etcd, kafka, log, snapshot, woodpecker
from infra.milvus.roles import scaling, topology, workloads
from infra.secrets.authority import Authority
from infra.servers.started import start
from infra.settings import Settings
from infra.settings.services import Kafka, Woodpecker
from infra.storage.contract import StorageContract
from validation.target import Role

ROLLOUT = pulumi.CustomTimeouts(create="30m", update="60m", delete="30m")


def deploy(
    settings: Settings,
    cluster: ClusterContract,
    storage: StorageContract,
    authority: Authority,
    opts: pulumi.ResourceOptions | None = None,
) -> MilvusContract:
    """Declare Milvus, and return what others need to know of it.

    Args:
        settings: The stack's settings.
        cluster: Where it runs.
        storage: The store that holds its data.
        authority: Who signs its certificates.
        opts: Resource options.

    Raises:
        ConfigurationError: The settings ask for what this version, mode or log cannot do, or are
            too small for the declared data set. Nothing is declared then.
    """
    return Milvus(settings, cluster, storage, authority, opts).contract


class Milvus(pulumi.ComponentResource):
    """Everything of one Milvus."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterContract,
        storage: StorageContract,
        authority: Authority,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        capacities = plan(settings)
        ours = pulumi.ResourceOptions(providers=[cluster.provider])
        super().__init__(
            "milvus-kit:milvus:Milvus",
            workloads.NAME,
            None,
            pulumi.ResourceOptions.merge(opts, ours),
        )
        self._settings, self._cluster, self._storage = settings, cluster, storage
        etcd_plan = plans.etcd_plan(settings, cluster)
        identity = Identities(settings, cluster, authority, etcd_plan, self._after()).create()
        access = log.access(settings, cluster.namespace, plans.log_secrets(identity))
        self._network(capacities, access)
        etcd_server = self._etcd(etcd_plan, identity)
        log_servers = self._log()
        self._guarded({"secrets": identity.made, "data": [etcd_server, *log_servers]})
        secrets = plans.secrets(storage, access, identity)
        inputs = plans.inputs(settings, capacities, storage, etcd_plan, access)
        work = plans.work_plan(settings, cluster, inputs, secrets)
        before = [etcd_server, *log_servers, *storage.ready, *identity.made]
        last = self._roles(capacities, work, before)
        self._budgets(capacities)
        # After the pods: a Service is waited for, and without pods that wait would outlast theirs.
        entrance = self._entrance(last)
        ready = [*last, *entrance, *self._root_password(identity, [*last, *entrance])]
        self._snapshots(etcd_plan, identity, etcd_server)
        self.contract = self._contract(capacities, work, identity, access, tuple(ready))
        self.register_outputs({"uri": self.contract.uri})

    def _after(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self, depends_on=[*self._cluster.ready, *resources], custom_timeouts=ROLLOUT
        )

    def _guarded(self, parts: Mapping[str, Sequence[pulumi.Resource]]) -> None:
        for name, resources in parts.items():
            Guard(protect=self._settings.storage.protect, behind=resources, name=name)

    def _kit(self) -> str:
        """Return the kit's own image, for the Jobs."""
        images, given = self._settings.images, self._settings.validation.image
        return resolve("milvus-kit", images, override=given)

    def _network(self, capacities: dict[str, Capacity], access: log.LogAccess) -> None:
        found = network.policies(
            network.NetworkPlan(
                settings=self._settings,
                namespace=self._cluster.namespace,
                roles=tuple(capacity.role for capacity in capacities.values()),
                storage=self._storage,
                log=access,
            )
        )
        for name, policy in found.items():
            full = f"milvus-kit-{name}"
            kinds.NetworkPolicy(full, **policy, opts=self._after())

    def _etcd(self, etcd_plan: etcd.EtcdPlan, identity: Identity) -> pulumi.Resource:
        return etcd.deploy(
            etcd_plan,
            fingerprint=identity.fingerprints.get("etcd-server-tls"),
            access=self._cluster.access,
            after=[*self._cluster.ready, *identity.made],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _log(self) -> Sequence[pulumi.Resource]:
        settings, cluster, storage = self._settings, self._cluster, self._storage
        mine = pulumi.ResourceOptions(parent=self)
        match settings.log:
            case Kafka(mode="create") as wanted:
                kafka_plan = plans.kafka_plan(settings, cluster, wanted)
                return [
                    kafka.deploy(kafka_plan, access=cluster.access, after=cluster.ready, opts=mine)
                ]
            case Woodpecker(mode="service") as wanted:
                return [
                    woodpecker.deploy(
                        plans.woodpecker_plan(settings, cluster, storage, wanted),
                        fingerprints={"milvus-kit/s3": storage.fingerprint},
                        access=cluster.access,
                        after=[*cluster.ready, *storage.ready],
                        opts=mine,
                    )
                ]
            case _:
                return []

    def _roles(
        self,
        capacities: dict[str, Capacity],
        work: workloads.WorkloadPlan,
        before: Sequence[pulumi.Resource],
    ) -> Sequence[pulumi.Resource]:
        """Declare the roles, each after the one before it, and return the last."""
        if self._settings.milvus.installer == "operator":
            return [self._operated(capacities, work, before)]
        previous = list(before)
        for name in rolling_order(self._settings, capacities):
            capacity = capacities[name]
            full = workloads.object_name(name)
            configuration = workloads.config_map(capacity, work)
            # A pod that restarts during a rollout must not find the next version's file.
            file = kinds.ConfigMap(full, **configuration, opts=self._after(*previous))
            options = self._after(file, *previous)
            kind = (
                kinds.StatefulSet
                if workloads.is_stateful(name, self._settings)
                else kinds.Deployment
            )
            document = workloads.workload(capacity, work)
            _, up = start(kind, full, document, self._cluster.access, options)
            previous = [up]
            if capacity.autoscaling is not None:
                scaler = scaling.autoscaler(capacity, self._cluster.namespace)
                kinds.HorizontalPodAutoscaler(full, **scaler, opts=self._after(*previous))
        return previous

    def _operated(
        self,
        capacities: dict[str, Capacity],
        work: workloads.WorkloadPlan,
        before: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        """Declare the custom resource, and return what has looked at the pods it led to."""
        image = resolve("milvus-operator", self._settings.images)
        operated = operator.Operated(
            capacities, work, operator_image=image, opts=self._after(*before)
        )
        return rollout.Rollout(
            self._cluster,
            image=work.image,
            roles={name: item.replicas for name, item in capacities.items()},
            declared=operated.declared,
            opts=self._after(operated.milvus),
        )

    def _budgets(self, capacities: dict[str, Capacity]) -> None:
        for name, capacity in capacities.items():
            if scaling.needs_budget(capacity):
                budget = scaling.disruption_budget(capacity, self._cluster.namespace)
                kinds.PodDisruptionBudget(workloads.object_name(name), **budget, opts=self._after())

    def _entrance(self, last: Sequence[pulumi.Resource]) -> Sequence[pulumi.Resource]:
        milvus, namespace = self._settings.milvus, self._cluster.namespace
        metrics = services.metrics_service(milvus, namespace)
        kinds.Service(services.METRICS, **metrics, opts=self._after(*last))
        client = services.client_service(milvus, namespace)
        return [kinds.Service(workloads.NAME, **client, opts=self._after(*last))]

    def _root_password(
        self, identity: Identity, last: Sequence[pulumi.Resource]
    ) -> Sequence[pulumi.Resource]:
        milvus = self._settings.milvus
        if identity.root_password is None or topology.sets_first_password(milvus.version):
            return []
        job = root_password.job(
            root_password.PasswordPlan(
                namespace=self._cluster.namespace,
                uri=services.uri(milvus, self._cluster.namespace, inside=True),
                password=identity.root_password,
                kit_image=self._kit(),
                tls_secret=identity.server_tls,
                client_secret=identity.client_tls,
                common=self._cluster.common,
                jobs=self._settings.kubernetes.jobs,
            )
        )
        access, options = self._cluster.access, self._after(*last)
        return list(start(kinds.Job, network.ROOT_PASSWORD, job, access, options))

    def _snapshots(
        self, etcd_plan: etcd.EtcdPlan, identity: Identity, etcd_server: pulumi.Resource
    ) -> None:
        settings = self._settings.etcd.snapshots
        if settings is None:
            return
        wanted = snapshot.SnapshotPlan(
            etcd=etcd_plan,
            client_secret=identity.etcd_client_tls,
            storage=self._storage,
            settings=settings,
            kit_image=self._kit(),
            jobs=self._settings.kubernetes.jobs,
        )
        options = self._after(etcd_server, *self._storage.ready)
        jobs = {network.SNAPSHOT: snapshot.cron_job(wanted), **snapshot.restore_jobs(wanted)}
        for name, job in jobs.items():
            kinds.CronJob(name, **job, opts=options)

    def _contract(
        self,
        capacities: dict[str, Capacity],
        work: workloads.WorkloadPlan,
        identity: Identity,
        access: log.LogAccess,
        ready: tuple[pulumi.Resource, ...],
    ) -> MilvusContract:
        milvus, namespace = self._settings.milvus, self._cluster.namespace
        return MilvusContract(
            whole=self,
            uri=services.uri(milvus, namespace),
            cluster_uri=services.uri(milvus, namespace, inside=True),
            deployment=milvus.mode,
            version=milvus.version,
            wal=access.wal,
            roles=tuple(
                Role(name=name, replicas=item.replicas, image=work.image)
                for name, item in capacities.items()
            ),
            workloads=()
            if milvus.installer == "operator"
            else tuple(workloads.declared(item, work) for item in capacities.values()),
            tls_mode=milvus.tls.mode,
            ca_pem=identity.ca_pem,
            server_tls=identity.server_tls,
            client_tls=identity.client_tls,
            root_user=ROOT_USER if identity.root_password else None,
            root_password=identity.root_password_value,
            root_password_ref=identity.root_password,
            metrics_uri=services.metrics_uri(milvus, namespace),
            cluster_metrics_uri=services.cluster_metrics_uri(namespace),
            ready=ready,
        )


def rolling_order(settings: Settings, capacities: dict[str, Capacity]) -> list[str]:
    """Return the roles in the order in which they are changed."""
    milvus = settings.milvus
    if milvus.upgrade_from is None or milvus.mode == topology.STANDALONE:
        return list(capacities)
    step = topology.change(milvus.upgrade_from, milvus.version)
    return [*step.add, *step.order]
