"""A workload that is up: what depends on it waits for this, and hears early why it will not be.

The Kubernetes provider would wait for a Deployment, a StatefulSet or a Job to the end of its time,
whatever its pods are stuck on. So it is told to wait for the object alone, and the waiting is done
here: until every pod of what is declared now is ready, or one of them cannot start.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.kubernetes import kinds
from infra.kubernetes.contract import KubeAccess
from infra.provider import Provider
from infra.secrets import values
from infra.servers import live, startup
from infra.servers.startup import Hindrance
from validation.errors import UnreachableError

IS_THERE = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
"""Tells the Kubernetes provider to wait for no more; unlike skipAwait, a delete still waits."""
TOLD_SECONDS = 50
"""After which it is said what is not ready, though it may yet be."""
STILL_SECONDS = 600
"""How long nothing may change on the way, as Kubernetes gives a Deployment by default."""
_LONGEST_SECONDS = 7 * 3600
_JUST_NOW = timedelta(seconds=10)
"""What was said so shortly before the wait is of the same try: the workload was there already."""
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
_LOOK_SECONDS = 3


def wait(
    lacks: Callable[[], str],
    hindrances: Callable[[], Mapping[str, Hindrance]],
    unready: Callable[[], list[str]] = list,
    *,
    where: str,
    still: float = STILL_SECONDS,
    tell: Callable[[str], object] = print,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Return once nothing is lacking.

    Args:
        lacks: What is lacking, as a clause; nothing once it is all there.
        hindrances: What keeps pods from starting, by their names.
        unready: A line for each pod that is not ready.
        where: What is waited for.
        still: For how many seconds what is lacking may stay the same.
        tell: Says something while it is waited.
        clock: Seconds that only go forward.
        pause: Waits.

    Raises:
        UnreachableError: A pod cannot start, or nothing has changed for too long.
    """
    watch, pauses = startup.Watch(), _pauses()
    began = changed = looked = clock()
    before, told = "", False
    while lacking := lacks():
        now = clock()
        if lacking != before:
            before, changed = lacking, now
        if now - looked >= _LOOK_SECONDS:
            looked = now
            hindered = hindrances()
            if hopeless := list(watch.hopeless(hindered, now)):
                raise _hopeless({name: hindered[name] for name in hopeless}, where)
        if now - changed >= still:
            raise UnreachableError(
                _block(f"{lacking}, for {still:.0f} s already", unready()),
                where=where,
                remedy="look at the pods' logs and events; `pulumi up` goes on waiting",
            )
        if not told and now - began >= TOLD_SECONDS:
            told = True
            tell(_block(f"{where}: still waiting: {lacking}", unready()))
        pause(next(pauses))


def _pauses() -> Iterator[float]:
    return itertools.chain(
        itertools.takewhile(
            lambda one: one < _LAST_PAUSE, (_FIRST_PAUSE * 1.3**n for n in itertools.count())
        ),
        itertools.repeat(_LAST_PAUSE),
    )


def _hopeless(hindered: Mapping[str, Hindrance], where: str) -> UnreachableError:
    return UnreachableError(
        _block("pods cannot start", [f"pod {name}: {one.words}" for name, one in hindered.items()]),
        where=where,
        remedy="mend what is named, and run `pulumi up` again",
    )


def _block(head: str, lines: list[str]) -> str:
    return "\n".join([head, *lines]).replace("\n", "\n    ")


class StartedProvider(Provider):
    """Waits for a workload whenever it is another, or declared in another way."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait until it is up."""
        _wait(props)
        return CreateResult(f"{props['namespace']}/{props['kind']}/{props['name']}", props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait until it is up again."""
        _wait(news)
        return UpdateResult(news)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look whether it is up: an update waits for one that is not."""
        found = live.Workloads(props).get(props["kind"], props["name"])
        try:
            up = found is not None and not live.lacks(found)
        except live.FailedError:
            up = False
        return ReadResult(id_, {**props, "declared": props["declared"] if up else "not up"})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Wait again for what was made anew, declared anew, or found not to be up."""
        keys = ("namespace", "kind", "name", "uid", "declared")
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in keys))


class Started(Resource, name="Started"):
    """A workload whose pods are all ready, or a Job that has done its work.

    Args:
        name: Of the workload's Pulumi resource.
        workload: A Deployment, a StatefulSet or a Job.
        document: As it is declared.
        access: How its API server is reached.
        opts: Resource options.
    """

    def __init__(
        self,
        name: str,
        workload: Any,
        document: Mapping[str, Any],
        access: KubeAccess,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        template = document["spec"]["template"]["spec"]
        # Where Kubernetes gives a rollout up by itself, it does so first, and says why.
        deadline = max(STILL_SECONDS, document["spec"].get("progressDeadlineSeconds", 0))
        still = deadline + template.get("terminationGracePeriodSeconds", 30)
        inputs: dict[str, pulumi.Input[Any]] = {
            "namespace": document["metadata"]["namespace"],
            "kind": type(workload).__name__,
            "name": document["metadata"]["name"],
            "uid": workload.metadata.apply(lambda found: found.get("uid")),
            "declared": values.fingerprint(pulumi.Output.json_dumps(document)),
            # A Job has a deadline of its own.
            "still": _LONGEST_SECONDS if isinstance(workload, kinds.Job) else still,
            **reached(access),
        }
        hidden = pulumi.ResourceOptions(
            depends_on=[workload], additional_secret_outputs=["kubeconfig"]
        )
        merged = pulumi.ResourceOptions.merge(opts, hidden)
        super().__init__(StartedProvider(), f"{name}-started", inputs, merged)


def reached(access: KubeAccess) -> dict[str, pulumi.Input[Any]]:
    """Return what `infra.kubernetes.kubeconfig.api_client` takes, as inputs of a resource."""
    return {
        "kubeconfig": pulumi.Output.secret(access.kubeconfig) if access.kubeconfig else "",
        "kubeconfig_file": access.kubeconfig_file or "",
        "context": access.context or "",
    }


def start(
    kind: Callable[..., Any],
    name: str,
    document: Mapping[str, Any],
    access: KubeAccess,
    opts: pulumi.ResourceOptions,
) -> tuple[Any, Started]:
    """Declare a workload, and return it with what waits until it is up.

    Args:
        kind: The workload's class.
        name: Of both.
        document: What the class takes.
        access: How its API server is reached.
        opts: The workload's options.
    """
    metadata = document["metadata"]
    noted = {**metadata, "annotations": {**metadata.get("annotations", {}), **IS_THERE}}
    workload = kind(name, **{**document, "metadata": noted}, opts=opts)
    beside = pulumi.ResourceOptions(parent=opts.parent)
    return workload, Started(name, workload, document, access, beside)


def _wait(props: dict[str, Any]) -> None:
    kind, name = props["kind"], props["name"]
    where = f"{kind} {props['namespace']}/{name}"
    since = datetime.now(UTC) - _JUST_NOW
    workloads = live.Workloads(props, since=since)
    seen: dict[str, Any] = {}

    def lacks() -> str:
        found = workloads.get(kind, name)
        if found is None:
            return "it is not there"
        seen.update(found)
        try:
            return live.lacks(found, since=since)
        except live.FailedError as error:
            told = [one for one in (workloads.last_words(found), *workloads.unready(found)) if one]
            remedy = "mend what is named, and run `pulumi up` again"
            raise UnreachableError(_block(str(error), told), where=where, remedy=remedy) from None

    wait(
        lacks,
        lambda: workloads.hindrances(seen) if seen else {},
        lambda: workloads.unready(seen) if seen else [],
        where=where,
        still=float(props["still"]),
    )
