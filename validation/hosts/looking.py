"""All machines of a deployment looked at, side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import yaml

from validation.common import addresses
from validation.declared.cluster import Objects
from validation.declared.drift import CONTAINER
from validation.errors import MeasurementError, MilvusKitError
from validation.hosts import connection, fitness, network
from validation.hosts.connection import Shell
from validation.hosts.fitness import Use
from validation.security.act import Act
from validation.target import Host, Kubernetes, Target, Workload

_AT_ONCE = 16
_GPU = "nvidia.com/gpu"
Opened = Callable[[], AbstractContextManager[Shell]]
Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Place:
    """A machine that is to be looked at.

    Args:
        name: As the target or the cluster has it.
        use: What it is for.
        opened: Opens a shell there.
        store: Host and port of the store, as Milvus reaches it from there; None: unknown.
        where: What the target declares it by.
    """

    name: str
    use: Use
    opened: Opened
    store: tuple[str, int] | None
    where: str


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a machine showed.

    Args:
        name: Of the machine.
        why: Why nothing was seen; the rest is empty then.
        fits: What was asked of it, and whether it fits.
        clock: How far its clock is ahead of this host's, at least and at most, ms.
        way: To the store.
    """

    name: str
    why: str = ""
    fits: Sequence[Act] = ()
    clock: Interval = (0.0, 0.0)
    way: network.Way = dataclasses.field(default_factory=network.Way)


def places(target: Target) -> list[Place]:
    """Return the machines of a target: those it names, and a pod of each declared workload.

    One that cannot be read is a place that says so when it is opened: the others are looked at.
    """
    store = _store(target.storage.endpoint) if target.storage else None
    found = [_named(one, store) for one in target.hosts]
    declared = target.kubernetes
    if declared is not None and declared.workloads:
        for one in declared.workloads:
            found += _readable(declared, one)
    return found


def _readable(declared: Kubernetes, one: Workload) -> list[Place]:
    """Return the places of a workload; if it cannot be read, one that says why."""
    try:
        return [*_of(Objects(declared), declared, one)]
    except MilvusKitError as error:
        return [Place(one.name, Use("pod"), _raising(error), None, "kubernetes.workloads")]


def looked_at(found: Sequence[Place]) -> list[Seen]:
    """Look at machines; those that cannot be reached say why."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(_look, found)]


def _look(place: Place) -> Seen:
    try:
        with place.opened() as shell:
            return _seen(place, shell)
    except MilvusKitError as error:
        return Seen(place.name, f"{error.where}: {error.what}" if error.where else error.what)


def _seen(place: Place, shell: Shell) -> Seen:
    what = "looking at the machine"
    told = fitness.told(shell.run(fitness.script(place.use), what=what))
    if told.get("done") != "yes":
        raise MeasurementError(f"{what}: its answer broke off", where=shell.where)
    try:
        facts: dict[str, Any] = fitness.facts(told)
        machine = fitness.Machine(**facts)
    except (KeyError, ValueError) as error:
        raise MeasurementError(f"{what}: it does not say {error}", where=shell.where) from None
    fits = [Act(name, bool(why), why) for name, why in fitness.held(machine, place.use).items()]
    clock = _clock(shell)
    if place.store is None:
        return Seen(place.name, fits=fits, clock=clock)
    host, port = place.store
    lines = shell.run(network.script(host, port), what="connecting to the store")
    return Seen(place.name, "", fits, clock, network.way(lines, port))


def _clock(shell: Shell) -> Interval:
    """Return how far a clock is ahead of ours, at least and at most, in ms.

    What it says lies between our times of asking and of being answered, if both clocks are right.
    """
    before = time.time()
    line = shell.run("date +%s.%N", what="asking for the time")
    after = time.time()
    said = line.strip()
    if not line.endswith("\n"):
        raise MeasurementError("asking for the time: its answer broke off", where=shell.where)
    seconds, _, rest = said.partition(".")
    whole = rest.isdigit()  # busybox knows no nanoseconds
    try:
        least = int(seconds) + (int(rest) / 10 ** len(rest) if whole else 0.0)
    except ValueError:
        raise MeasurementError(f"its time is no time: {said[:40]!r}", where=shell.where) from None
    most = least if whole else least + 1
    return (least - after) * 1e3, (most - before) * 1e3


def _named(one: Host, store: tuple[str, int] | None) -> Place:
    kind = "node" if one.node else "host"
    use = Use(kind, leads=one.node == "control-plane", nvme=one.nvme, gpus=one.gpus)
    return Place(one.name, use, lambda: connection.on_host(one), store, "hosts")


def _of(objects: Objects, declared: Kubernetes, one: Workload) -> Iterator[Place]:
    """Yield the first pod of a workload that runs; if there is none, a place that says so."""
    gpus = int(one.resources.get("limits", {}).get(_GPU, "0"))
    use = Use("pod", nvme=one.nvme, gpus=gpus)
    pods = objects.pods(objects.workload(one))
    names = sorted(pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running")
    if not names:
        nowhere = MeasurementError("no pod of it runs", where=one.name)
        yield Place(one.name, use, _raising(nowhere), None, "kubernetes.workloads")
        return
    yield Place(
        names[0],
        use,
        lambda: connection.in_pod(declared, names[0], CONTAINER),
        _configured(objects.config_map(one), one.name),
        "kubernetes.workloads",
    )


def _raising(error: MilvusKitError) -> Opened:
    @contextlib.contextmanager
    def opened() -> Iterator[Shell]:
        raise error
        yield

    return opened


def _configured(config_map: Any, name: str) -> tuple[str, int] | None:
    """Return where Milvus's own configuration has the store.

    Raises:
        MeasurementError: A file of the ConfigMap is no configuration.
    """
    for file, text in ((config_map or {}).get("data") or {}).items():
        try:
            document = yaml.safe_load(text)
            store = document.get("minio") if isinstance(document, dict) else None
            if isinstance(store, dict) and store.get("address"):
                return str(store["address"]), int(store.get("port", 9000))
        except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            raise MeasurementError(
                f"{file} of its ConfigMap is no configuration: {type(error).__name__}",
                where=f"ConfigMap {name}",
                remedy="mend the file; `pulumi up --refresh` puts the declared one back",
            ) from None
    return None


def _store(endpoint: str) -> tuple[str, int]:
    found = addresses.parsed(endpoint, example="http(s)://HOST:PORT")
    return found.host, found.port or (443 if found.tls else 80)


def apart(mine: Interval, other: Interval) -> float:
    """Return how far two clocks are from each other at least; 0 if they may agree."""
    return max(0.0, mine[0] - other[1], other[0] - mine[1])
