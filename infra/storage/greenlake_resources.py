"""Bucket, access policy and user of an X10000, as Pulumi resources with real read, diff and delete.

A thing that is there already is not ours: making it is refused, and the message says how to adopt
it. A bucket that an interrupted `up` of this very stack has made carries the stack's tag and is
taken over.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from infra.provider import Provider
from infra.storage import policy as policies
from infra.storage.greenlake import GreenLake
from validation.errors import ConfigurationError, OwnershipError

OWNER_TAG = "milvus-kit-stack"
CONNECTION = ("base_url", "token_url", "system_id", "client_id", "client_secret", "task_timeout")
SECRETS = ["client_secret", "client_id", "secret_key"]


def api(props: dict[str, Any]) -> GreenLake:
    """Return a client for the system that a resource's properties describe."""
    return GreenLake(
        base_url=props["base_url"],
        token_url=props["token_url"],
        client_id=props["client_id"],
        client_secret=props["client_secret"],
        system_id=props["system_id"],
        task_timeout=float(props["task_timeout"]),
    )


def _moved(olds: dict[str, Any], news: dict[str, Any]) -> bool:
    """Tell whether the way to the system has changed, which a later delete must know."""
    return any(olds.get(key) != news.get(key) for key in CONNECTION)


def _replaced(olds: dict[str, Any], news: dict[str, Any]) -> list[str]:
    return [key for key in ("name", "system_id") if olds[key] != news[key]]


def _refuse(kind: str, name: str, remedy: str) -> OwnershipError:
    return OwnershipError(
        f"there is a {kind} of that name already, and this stack did not make it",
        where=f"GreenLake {kind} {name}",
        remedy=remedy,
    )


class GreenLakeBucketProvider(Provider):
    """A bucket. Its id is its name."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the bucket; take over one that an interrupted run of this stack has made."""
        system = api(props)
        there = system.find("buckets", props["name"])
        if there is None:
            compression = "ENABLED" if props["compression"] else "DISABLED"
            system.create(
                "buckets",
                {
                    "name": props["name"],
                    "compression": compression,
                    "bucketTags": _tags(props),
                },
            )
        elif _owner(there) != props["owner"]:
            raise _refuse("bucket", props["name"], "use mode: adopt, or choose another bucket")
        return CreateResult(props["name"], {**props, "versioning": "off"})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the bucket as it is."""
        there = api(props).find("buckets", id_)
        return ReadResult(id_ if there else "", {**props, **_seen(there)} if there else props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace it for a new name; put tags and compression right in place."""
        replaces = _replaced(olds, news)
        drifted = olds.get("versioning", "off") != "off"
        changed = any(olds[key] != news[key] for key in ("compression", "tags", "owner"))
        return DiffResult(
            changes=bool(replaces) or changed or drifted or _moved(olds, news), replaces=replaces
        )

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put tags and compression right. Versioning cannot be taken back by this API."""
        if olds.get("versioning", "off") != "off":
            raise ConfigurationError(
                "somebody switched versioning on; Milvus's deleted objects would be kept",
                where=f"GreenLake bucket {id_}",
                seen=olds["versioning"],
                remedy="suspend it on the system, or move to a new bucket",
            )
        compression = "ENABLED" if news["compression"] else "DISABLED"
        api(news).update("buckets", id_, {"compression": compression, "bucketTags": _tags(news)})
        return UpdateResult({**news, "versioning": "off"})

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Delete the bucket; the system refuses while it holds objects."""
        api(props).delete("buckets", id_)


def _tags(props: dict[str, Any]) -> list[dict[str, str]]:
    tags = [*props["tags"], {"key": OWNER_TAG, "value": props["owner"]}]
    return [{"key": tag["key"], "value": tag["value"]} for tag in tags]


def _owner(bucket: dict[str, Any]) -> str | None:
    tags = bucket.get("bucketTags") or []
    return next((tag.get("value") for tag in tags if tag.get("key") == OWNER_TAG), None)


def _seen(bucket: dict[str, Any]) -> dict[str, Any]:
    tags = [
        {"key": tag["key"], "value": tag.get("value", "")}
        for tag in bucket.get("bucketTags") or []
        if tag["key"] != OWNER_TAG
    ]
    versioned = str(bucket.get("versioning") or "Disabled").lower()
    return {
        "compression": bucket.get("compression") in {True, "ENABLED"},
        "tags": tags,
        "owner": _owner(bucket) or "",
        "versioning": "off" if versioned == "disabled" else versioned,
    }


class GreenLakePolicyProvider(Provider):
    """An access policy. Its id is its name."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the policy; one that says exactly the same is taken over."""
        system = api(props)
        there = system.find("access-policies", props["name"])
        if there is None:
            system.create("access-policies", {"name": props["name"], **_body(props["policy"])})
        elif not policies.same(_document(there), props["policy"]):
            raise _refuse(
                "access policy", props["name"], "choose another storage.greenlake.policyName"
            )
        return CreateResult(props["name"], props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at what the policy really allows."""
        there = api(props).find("access-policies", id_)
        if there is None:
            return ReadResult("", props)
        return ReadResult(id_, {**props, "policy": _document(there)})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Put the policy right when it allows anything else."""
        replaces = _replaced(olds, news)
        drifted = not policies.same(olds["policy"], news["policy"])
        return DiffResult(
            changes=bool(replaces) or drifted or _moved(olds, news), replaces=replaces
        )

    def update(self, id_: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put the policy right."""
        api(news).update("access-policies", id_, _body(news["policy"]))
        return UpdateResult(news)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Delete the policy."""
        api(props).delete("access-policies", id_)


def _body(document: dict[str, Any]) -> dict[str, Any]:
    """Return an AWS policy in the API's own words."""
    statements = [
        {"effect": item["Effect"].upper(), "action": item["Action"], "resource": item["Resource"]}
        for item in document["Statement"]
    ]
    return {"version": document["Version"], "statement": statements}


def _document(there: dict[str, Any]) -> dict[str, Any]:
    """Return the API's policy in AWS's words."""
    statements = [
        {
            "Effect": str(item.get("effect", "")).capitalize(),
            "Action": item.get("action") or [],
            "Resource": item.get("resource") or [],
            **({"Condition": item["condition"]} if item.get("condition") else {}),
        }
        for item in there.get("statement") or []
    ]
    return {"Version": there.get("version", ""), "Statement": statements}


class GreenLakeUserProvider(Provider):
    """A user with its access policies. Its id, and its access key, is its name."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the user, keep the secret key that is shown this once, apply the policies."""
        system = api(props)
        if system.find("users", props["name"]) is not None:
            raise _refuse(
                "user",
                props["name"],
                "choose another storage.greenlake.userName; if an interrupted `up` made it, delete"
                " it in GreenLake",
            )
        secret_key = system.create_user(props["name"])
        try:
            system.apply_policy(props["name"], list(props["policies"]))
        except Exception:
            # Its key would be lost with this error, and the name with it.
            system.delete("users", props["name"])
            raise
        return CreateResult(props["name"], {**props, "secret_key": secret_key})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look whether the user is there, and which policies it has where the system says."""
        there = api(props).find("users", id_)
        if there is None:
            return ReadResult("", props)
        applied = there.get("policies")
        return ReadResult(id_, {**props, "policies": applied} if applied is not None else props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Make a new user, and a new key, for another name or generation."""
        replaces = _replaced(olds, news)
        if olds["generation"] != news["generation"]:
            replaces.append("generation")
        drifted = sorted(olds["policies"]) != sorted(news["policies"])
        return DiffResult(
            changes=bool(replaces) or drifted or _moved(olds, news),
            replaces=replaces,
            delete_before_replace=True,
        )

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply the policies again; the key stays."""
        api(news).apply_policy(id_, list(news["policies"]))
        return UpdateResult({**news, "secret_key": olds["secret_key"]})

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Delete the user."""
        api(props).delete("users", id_)


def _options(opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(additional_secret_outputs=SECRETS)
    )


class GreenLakeBucket(Resource, name="GreenLakeBucket"):
    """A bucket of an X10000."""

    def __init__(
        self,
        resource_name: str,
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            GreenLakeBucketProvider(), resource_name, {**inputs, "versioning": None}, _options(opts)
        )


class GreenLakePolicy(Resource, name="GreenLakePolicy"):
    """An access policy of an X10000."""

    def __init__(
        self,
        resource_name: str,
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(GreenLakePolicyProvider(), resource_name, inputs, _options(opts))


class GreenLakeUser(Resource, name="GreenLakeUser"):
    """A user of an X10000. Its name is its access key."""

    secret_key: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            GreenLakeUserProvider(), resource_name, {**inputs, "secret_key": None}, _options(opts)
        )
