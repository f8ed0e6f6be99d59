"""Faults planted from outside: a program beside the kit's own that breaks one thing and runs it.

`plant` writes that program into a clone of the project and points the clone's Pulumi.yaml at it, so
that plain ``pulumi`` commands run it; the kit itself knows nothing of it. Each fault is a function
here that replaces one function of the kit's by one that does almost the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tests.e2e import project

_PROGRAM = """import sys

sys.path.insert(0, {root!r})

from tests.e2e import breaks

breaks.{name}()

from infra.program import main

main()
"""


def plant(root: Path, fault: Callable[[], None] | None) -> None:
    """Make a project run with a fault, or again without one.

    Args:
        root: Of the clone.
        fault: A function of this module; None for the kit's own program.
    """
    folder = root / "planted"
    folder.mkdir(exist_ok=True)
    if fault is not None:
        program = _PROGRAM.format(root=str(project.ROOT), name=fault.__name__)
        (folder / "__main__.py").write_text(program, encoding="utf-8")
    main = "infra/" if fault is None else "planted/"
    project.edit(root / "Pulumi.yaml", lambda document: document.update(main=main))


UNKNOWN_FIELD = "readynessProbe"
WRONG_PATH = "/heathz"
WRONG_SECRET = "minio-tsl"
FORBIDDEN = "s3:PutObject"


def a_manifest_with_an_unknown_field() -> None:
    """Misspell a field of etcd's container, as an editor would."""
    from infra.milvus.dependencies import etcd  # noqa: PLC0415  (only the planted program may import the kit)

    def misspelt(document: Any) -> Any:
        container = document["spec"]["template"]["spec"]["containers"][0]
        container[UNKNOWN_FIELD] = container.pop("readinessProbe")
        return document

    _replace(etcd, "stateful_set", misspelt)


def a_manifest_with_a_wrong_path() -> None:
    """Probe the first role where it does not answer."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    def elsewhere(document: Any) -> Any:
        container = document["spec"]["template"]["spec"]["containers"][0]
        container["readinessProbe"]["httpGet"]["path"] = WRONG_PATH
        return document

    _replace(workloads, "workload", elsewhere)
    _given_up_after(70)  # and told before


def a_pod_for_which_no_node_has_room() -> None:
    """Let a role's pod ask for more CPU than there is, which the kit itself would not."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    def greedy(document: Any) -> Any:
        container = document["spec"]["template"]["spec"]["containers"][0]
        container["resources"]["requests"]["cpu"] = "999"
        return document

    _replace(workloads, "workload", greedy)


def a_key_that_the_config_map_has_not() -> None:
    """Mount a key into a role's pod that its ConfigMap does not have."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    def misspelt(document: Any) -> Any:
        for volume in document["spec"]["template"]["spec"]["volumes"]:
            if volume["name"] == "configuration":
                volume["configMap"]["items"] = [{"key": "user.yml", "path": "user.yaml"}]
        return document

    _replace(workloads, "workload", misspelt)


def pods_of_a_user_that_the_image_does_not_know() -> None:
    """Let the roles run as 1000:1000 and nothing else, as if everybody might execute the binary."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    def alone(document: Any) -> Any:
        del document["spec"]["template"]["spec"]["securityContext"]["supplementalGroups"]
        return document

    _replace(workloads, "workload", alone)


def a_mount_over_what_the_image_ships() -> None:
    """Mount the kit's configuration over the image's folder, and not beside what is in it."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    def over(document: Any) -> Any:
        container = document["spec"]["template"]["spec"]["containers"][0]
        for mount in container["volumeMounts"]:
            if mount["name"] == "configuration":
                mount["mountPath"] = mount["mountPath"].removesuffix(f"/{mount.pop('subPath')}")
        return document

    _replace(workloads, "workload", over)


def a_secret_of_another_name() -> None:
    """Mount a Secret into MinIO's pod that nobody made."""
    from infra.storage.minio import objects as minio_objects  # noqa: PLC0415  (as above)

    def renamed(document: Any) -> Any:
        for volume in document["spec"]["template"]["spec"]["volumes"]:
            if volume.get("secret", {}).get("secretName") == minio_objects.TLS_SECRET:
                volume["secret"]["secretName"] = WRONG_SECRET
        return document

    _replace(minio_objects, "statefulset", renamed)


def a_policy_that_forbids_writing() -> None:
    """Take one action from what Milvus's key may do."""
    from infra.storage import policy  # noqa: PLC0415  (as above)

    def less(document: Any) -> Any:
        for statement in document["Statement"]:
            statement["Action"] = [one for one in statement["Action"] if one != FORBIDDEN]
        return document

    _replace(policy, "for_bucket", less)


def roles_in_the_reverse_order() -> None:
    """Start the proxy first, and each role after the one that it waits for."""
    from infra.milvus import deployment  # noqa: PLC0415  (as above)

    _replace(deployment, "rolling_order", lambda order: order[::-1])
    _given_up_after(10)


def _given_up_after(seconds: int) -> None:
    """Let Kubernetes give up sooner a role that is not ready."""
    from infra.milvus.roles import workloads  # noqa: PLC0415  (as above)

    mock.patch.object(workloads, "PROGRESS_SECONDS", seconds).start()


def _replace(module: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Let a function's result be changed, for the rest of this process."""
    original = getattr(module, name)
    mock.patch.object(module, name, lambda *given, **more: change(original(*given, **more))).start()
