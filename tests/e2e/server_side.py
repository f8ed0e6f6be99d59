"""Every object of a stack as the API server sees it: a dry run there, unknown fields refused."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.e2e.deployment import Deployment
from tests.e2e.project import ROOT
from tests.infra.declaring import declare

_MADE_UP = "failed to find any PEM data in certificate"
"""A warning about the text that stands for a certificate where none is made."""


def objects(stack: str) -> list[dict[str, Any]]:
    """Return the Kubernetes objects that a stack's program declares."""
    file = ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]
    document = {key.removeprefix("milvus-kit:"): value for key, value in config.items()}
    # Digests are recorded by whoever pulls the images; no object depends on them.
    document["images"] = {**document.get("images", {}), "requireDigest": False}
    return declare(document, stack).kubernetes()


def served(deployment: Deployment) -> set[str]:
    """Return every kind that the API server knows, as ``apiVersion/Kind``."""
    listed = deployment.kubectl("api-resources", "--no-headers").stdout.splitlines()
    return {f"{line.split()[-3]}/{line.split()[-1]}" for line in listed}


def dry_run(deployment: Deployment, found: list[dict[str, Any]]) -> tuple[list[str], str]:
    """Send objects for a dry run.

    Args:
        deployment: With the cluster.
        found: The objects; kinds that the cluster has no definition of are left out.

    Returns:
        The kinds left out, and what the API server complains of: errors and warnings.
    """
    known = served(deployment)
    unknown = sorted({_kind(one) for one in found} - known)
    taken = [one for one in found if _kind(one) in known]
    spaces = {one["metadata"].get("namespace") for one in taken} - {None, "default"}
    made = [space for space in sorted(spaces) if _make_namespace(deployment, space)]
    try:
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": taken})
        arguments = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
        done = deployment.kubectl("apply", *arguments, "-f", "-", given=document)
        said = [line for line in done.stderr.splitlines() if _MADE_UP not in line]
        return unknown, "\n".join(said)
    finally:
        for space in made:
            deployment.kubectl("delete", "namespace", space, "--wait=false")


def _kind(one: dict[str, Any]) -> str:
    return f"{one['apiVersion']}/{one['kind']}"


def _make_namespace(deployment: Deployment, name: str) -> bool:
    """Make a namespace as strict as the stacks' own; return whether it was not there."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": name, "labels": level}
    text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return deployment.kubectl("create", "-f", "-", given=text).returncode == 0
