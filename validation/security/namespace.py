"""Where secrets could stand in a cluster for others to read: all of a namespace but its Secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from validation.declared.cluster import Objects
from validation.errors import MilvusKitError
from validation.target import Kubernetes

Content = Iterable[bytes]


def places(declared: Kubernetes) -> Iterator[tuple[str, Content]]:
    """Yield the ConfigMaps and pods of a namespace, and what each container has written.

    A pod is looked through whole: its arguments, variables and annotations. What cannot be read
    raises `MilvusKitError` when its content is asked for.
    """
    where = f"namespace {declared.namespace}"
    try:
        objects = Objects(declared)
        config_maps, pods = objects.all("configmaps"), objects.all("pods")
    except MilvusKitError as error:
        yield where, _failing(error)
        return
    for one in config_maps:
        yield f"ConfigMap {_name(one)}", [_written(one)]
    for one in pods:
        yield f"pod {_name(one)}", [_written(one)]
        yield from _logs(objects, one)


def _logs(objects: Objects, pod: Any) -> Iterator[tuple[str, Content]]:
    status = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            log = f"log of {_name(pod)}/{container['name']}"
            yield log, objects.log(_name(pod), container["name"], previous=False)
            if container.get("restartCount"):
                before = objects.log(_name(pod), container["name"], previous=True)
                yield f"{log} before it was restarted", before


def _name(one: Any) -> str:
    return str(one["metadata"]["name"])


def _written(one: Any) -> bytes:
    """Return the texts of an object, each as it is: a dump of it would escape what is in them."""
    return "\n".join(_texts(one)).encode()


def _texts(one: Any) -> Iterator[str]:
    """Yield names and values; of files that are kept in base64, what they hold as well."""
    if isinstance(one, dict):
        for name, value in one.items():
            yield str(name)
            yield from _texts(value)
            if name == "binaryData" and isinstance(value, dict):
                files = (base64.b64decode(str(text)) for text in value.values())
                yield from (file.decode(errors="replace") for file in files)
    elif isinstance(one, list):
        for value in one:
            yield from _texts(value)
    elif one is not None:
        yield str(one)


def _failing(error: MilvusKitError) -> Iterator[bytes]:
    """Return the content of what cannot be read."""
    raise error
    yield b""
