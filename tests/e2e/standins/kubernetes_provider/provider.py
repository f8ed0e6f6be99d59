"""Answers the engine: what a program's objects should be, and what became of them."""

from __future__ import annotations

import os
import threading
from typing import Any, NoReturn

import grpc
import yaml
from google.protobuf import any_pb2, empty_pb2
from kubernetes.config import ConfigException
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tests.e2e.standins.kubernetes_provider import objects, wire
from tests.e2e.standins.kubernetes_provider.cluster import Cluster, ClusterError
from tests.e2e.standins.kubernetes_provider.waiting import NotReadyError, until_gone, until_ready

_SECONDS = float(os.environ.get("MILVUS_KIT_STANDIN_SECONDS", "600"))
"""How long an object may take at most; the published provider's own default is ten minutes."""
_SERVER_SET = {
    "status": wire.UNKNOWN,
    "metadata": {"uid": wire.UNKNOWN, "resourceVersion": wire.UNKNOWN},
}
Document = dict[str, Any]


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider; methods are named by the protocol."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.settings: Document = {}
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._connected: Cluster | None = None

    # The provider itself

    def Handshake(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request, context):  # noqa: N802, ARG002
        return plugin_pb2.PluginInfo(version=self.version)

    def CheckConfig(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):  # noqa: N802, ARG002
        old, _ = wire.read(request.old_inputs if request.HasField("old_inputs") else request.olds)
        new, _ = wire.read(request.news)
        if old == new:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        key = "clusterIdentifier"
        moved = [key] if key in old and old.get(key) != new.get(key) else []
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            replaces=moved,
            diffs=sorted(
                name for name in old.keys() | new.keys() if old.get(name) != new.get(name)
            ),
        )

    def Configure(self, request, context):  # noqa: N802, ARG002
        self.settings, _ = wire.read(request.args)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Cancel(self, request, context):  # noqa: N802, ARG002
        self.cancelled.set()
        return empty_pb2.Empty()

    def Invoke(self, request, context):  # noqa: N802
        _refuse(context, f"{request.tok} needs the published Kubernetes provider")

    # Objects

    def Check(self, request, context):  # noqa: N802
        kind = _kind(request.urn, context)[1]
        inputs, secrets = wire.read(request.news)
        old, _ = wire.read(request.olds)
        named = objects.named(inputs, old, request.urn.split("::")[-1], request.randomSeed)
        if kind not in objects.CLUSTER_SCOPED:
            named["metadata"].setdefault("namespace", self.settings.get("namespace") or "default")
        return provider_pb2.CheckResponse(inputs=wire.write(named, secrets))

    def Diff(self, request, context):  # noqa: N802
        kind = _kind(request.urn, context)[1]
        old, _ = wire.read(request.old_inputs)
        new, _ = wire.read(request.news)
        changed = objects.changes(old, new)
        replaced = objects.replaces(kind, old, new, changed)
        kinds = provider_pb2.PropertyDiff
        detailed = {
            _dotted(path): kinds(
                kind=kinds.UPDATE_REPLACE if path in replaced else kinds.UPDATE, inputDiff=True
            )
            for path in changed
        }
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changed else none,
            replaces=sorted({str(path[0]) for path in replaced}),
            diffs=sorted({str(path[0]) for path in changed}),
            detailedDiff=detailed,
            hasDetailedDiff=True,
            # A name of the program's own can be there only once.
            deleteBeforeReplace=bool(replaced) and not objects.is_autonamed(new),
        )

    def Create(self, request, context):  # noqa: N802
        inputs, secrets = wire.read(request.properties)
        if request.preview:
            foreseen = _overlaid(_SERVER_SET, inputs)
            if inputs.get("kind") == "Service":
                foreseen["spec"].setdefault("clusterIP", wire.UNKNOWN)
            return provider_pb2.CreateResponse(id="", properties=wire.write(foreseen, secrets))
        self._require_absent(inputs, context)
        live = self._applied(inputs, secrets, request, context)
        return provider_pb2.CreateResponse(id=_id(live), properties=_outputs(live, inputs, secrets))

    def Update(self, request, context):  # noqa: N802
        inputs, secrets = wire.read(request.news)
        if request.preview:
            old, old_secrets = wire.read(request.olds)
            foreseen = _overlaid(old, inputs)
            written = wire.write(foreseen, secrets | old_secrets)
            return provider_pb2.UpdateResponse(properties=written)
        live = self._applied(inputs, secrets, request, context)
        return provider_pb2.UpdateResponse(properties=_outputs(live, inputs, secrets))

    def Read(self, request, context):  # noqa: N802
        api_version, kind = _kind(request.urn, context)
        inputs, secrets = wire.read(request.inputs)
        namespace, _, name = request.id.rpartition("/")
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        live = self._asked(context, {"apiVersion": api_version, "kind": kind, "metadata": metadata})
        if live is None:
            return provider_pb2.ReadResponse()
        readable = objects.with_plain_strings(live, inputs)
        now = objects.projected(inputs, readable) if inputs else _without_server_fields(live)
        return provider_pb2.ReadResponse(
            id=_id(live),
            properties=_outputs(live, inputs, secrets),
            inputs=wire.write(now, secrets),
        )

    def Delete(self, request, context):  # noqa: N802
        one, _ = wire.read(request.properties)
        try:
            cluster = self._cluster()
            if cluster.delete(one):
                until_gone(cluster, one, _seconds(request), self.cancelled)
        except (ClusterError, NotReadyError) as error:
            _refuse(context, f"{one.get('kind')} {request.id}: {error}")
        return empty_pb2.Empty()

    # Helpers

    def _cluster(self) -> Cluster:
        with self._lock:
            if self._connected is None:
                kubeconfig = self.settings.get("kubeconfig")
                if wire.has_unknown(kubeconfig):
                    raise ClusterError(0, "the cluster's kubeconfig is not known yet")
                if isinstance(kubeconfig, dict):
                    kubeconfig = yaml.safe_dump(kubeconfig)
                try:
                    self._connected = Cluster(kubeconfig, self.settings.get("context"))
                except (ConfigException, OSError, ValueError, yaml.YAMLError) as error:
                    kind = type(error).__name__
                    raise ClusterError(0, f"the kubeconfig cannot be used ({kind})") from None
            return self._connected

    def _asked(self, context: grpc.ServicerContext, one: Document) -> Document | None:
        try:
            return self._cluster().get(one)
        except ClusterError as error:
            _refuse(context, f"{one['kind']} {_id(one)}: {error}")

    def _require_absent(self, one: Document, context: grpc.ServicerContext) -> None:
        """Refuse to take over what is there, as the published provider does since 4.29.

        That one creates without server-side apply and hands the fields over at the first update;
        asking first comes to the same and needs no handing over.
        """
        if one["metadata"].get("name") and self._asked(context, one) is not None:
            _refuse(context, f"{one['kind']} {_id(one)}: it already exists")

    def _applied(
        self, inputs: Document, secrets: set[wire.Path], request: Any, context: Any
    ) -> Document:
        """Apply an object and wait for it; a half-made one is reported with its state."""
        try:
            cluster = self._cluster()
            live = cluster.apply(inputs)
        except ClusterError as error:
            _refuse(context, f"{inputs['kind']} {_id(inputs)}: {error}")
        try:
            return until_ready(cluster, live, _seconds(request), self.cancelled)
        except (ClusterError, NotReadyError) as error:
            detail = provider_pb2.ErrorResourceInitFailed(
                id=_id(live),
                properties=_outputs(live, inputs, secrets),
                reasons=[str(error)],
                inputs=wire.write(inputs, secrets),
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            message = f"{inputs['kind']} {_id(live)} was made and is {error}"
            status = status_pb2.Status(
                code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed]
            )
            pair = ("grpc-status-details-bin", status.SerializeToString())
            context.set_trailing_metadata((pair,))
            context.abort(grpc.StatusCode.UNKNOWN, message)
            raise AssertionError("abort raises") from None


def _seconds(request: Any) -> float:
    """Return how long to wait: what the program gives an object, at most what all have."""
    return min(request.timeout or _SECONDS, _SECONDS)


def _refuse(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort raises")


def _kind(urn: str, context: grpc.ServicerContext) -> tuple[str, str]:
    try:
        return objects.kind_of(urn.split("::")[2].rsplit("$", maxsplit=1)[-1])
    except ValueError as error:
        _refuse(context, str(error))


def _id(one: Document) -> str:
    metadata = one["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))


def _dotted(path: wire.Path) -> str:
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key.replace("_", "").isalnum():
            text += f".{key}" if text else key
        else:
            text += f'["{key}"]'
    return text


def _overlaid(base: Any, top: Any) -> Any:
    if isinstance(base, dict) and isinstance(top, dict):
        keys = base.keys() | top.keys()
        return {
            key: _overlaid(base[key], top[key])
            if key in base and key in top
            else top.get(key, base.get(key))
            for key in keys
        }
    return top


def _without_server_fields(live: Document) -> Document:
    kept = {key: one for key, one in live.items() if key != "status"}
    names = ("name", "namespace", "labels", "annotations")
    kept["metadata"] = {key: live["metadata"][key] for key in names if key in live["metadata"]}
    return kept


def _outputs(live: Document, inputs: Document, secrets: set[wire.Path]) -> Any:
    shown = {
        **live,
        "metadata": {k: v for k, v in live["metadata"].items() if k != "managedFields"},
    }
    hidden = set(secrets)
    if live.get("kind") == "Secret":
        if "stringData" in inputs:
            shown["stringData"] = inputs["stringData"]
        hidden |= {(key,) for key in ("data", "stringData") if key in shown}
        annotations = shown["metadata"].get("annotations") or {}
        last = "kubectl.kubernetes.io/last-applied-configuration"
        hidden |= {("metadata", "annotations", last)} if last in annotations else set()
    return wire.write(shown, hidden)
