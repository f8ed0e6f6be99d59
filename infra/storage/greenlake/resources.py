"""Bucket, access policy and user of an X10000, as Pulumi resources with real read, diff and delete.

A thing that is there already is not ours: making it is refused, and the message says how to adopt
it. A bucket that an interrupted `up` of this very stack has made carries the stack's tag and is
taken over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

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
from validation.errors import ConfigurationError, OwnershipError

if TYPE_CHECKING:
    from infra.storage.greenlake.declared import GreenLake

OWNER_TAG = "milvus-kit-stack"
CONNECTION = ("base_url", "token_url", "system_id", "client_id", "client_secret", "task_timeout")
SECRETS = ["client_secret", "client_id", "secret_key"]


def api(props: dict[str, Any]) -> GreenLake:
    """Return a client for the system that a resource's properties describe."""
    from infra.storage.greenlake.declared import GreenLake  # noqa: PLC0415  (slow; programs only declare)
    from infra.storage.greenlake.session import Session  # noqa: PLC0415  (as above)

    session = Session(
        base_url=props["base_url"],
        token_url=props["token_url"],
        client_id=props["client_id"],
        client_secret=props["client_secret"],
    )
    return GreenLake(
        session=session,
        system_id=props["system_id"],
        task_timeout=float(props["task_timeout"]),
    )


def _refuse(kind: str, name: str, remedy: str) -> OwnershipError:
    return OwnershipError(
        f"there is a {kind} of that name already, and this stack did not make it",
        where=f"GreenLake {kind} {name}",
        remedy=remedy,
    )


class _ThingProvider(Provider):
    """What bucket, policy and user have in common: the name is the id, and the system tells."""

    kind: ClassVar[str]
    """As the API names the collection."""
    identity: ClassVar[tuple[str, ...]] = ("name", "system_id")
    """What cannot be changed in place."""
    delete_before_replace: ClassVar[bool | None] = None

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the thing as it is."""
        there = api(props).find(self.kind, id_)
        if there is None:
            return ReadResult("", props)
        return ReadResult(id_, {**props, **self._seen(there)})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the thing for another identity; put anything else right in place."""
        replaces = [key for key in self.identity if olds[key] != news[key]]
        # The way to the system counts too: a later delete must know it.
        moved = any(olds.get(key) != news.get(key) for key in CONNECTION)
        changes = bool(replaces) or moved or self._drifted(olds, news)
        return DiffResult(
            changes=changes, replaces=replaces, delete_before_replace=self.delete_before_replace
        )

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Delete the thing; the system refuses to delete a bucket that holds objects."""
        api(props).delete(self.kind, id_)

    def _seen(self, there: dict[str, Any]) -> dict[str, Any]:
        """Return the properties as the system tells them."""
        raise NotImplementedError

    def _drifted(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        """Tell whether the thing has to be put right in place."""
        raise NotImplementedError


class GreenLakeBucketProvider(_ThingProvider):
    """A bucket."""

    kind = "buckets"

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the bucket; take over one that an interrupted run of this stack has made."""
        system = api(props)
        there = system.find(self.kind, props["name"])
        if there is None:
            system.create(self.kind, {"name": props["name"], **_bucket(props)})
        elif _owner(there) != props["owner"]:
            raise _refuse("bucket", props["name"], "use mode: adopt, or choose another bucket")
        return CreateResult(props["name"], {**props, "versioning": "off"})

    def _seen(self, there: dict[str, Any]) -> dict[str, Any]:
        tags = [
            {"key": tag["key"], "value": tag.get("value", "")}
            for tag in there.get("bucketTags") or []
            if tag["key"] != OWNER_TAG
        ]
        versioned = str(there.get("versioning") or "Disabled").lower()
        return {
            "compression": there.get("compression") in {True, "ENABLED"},
            "tags": tags,
            "owner": _owner(there) or "",
            "versioning": "off" if versioned == "disabled" else versioned,
        }

    def _drifted(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        if olds.get("versioning", "off") != "off":
            return True
        return any(olds[key] != news[key] for key in ("compression", "tags", "owner"))

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put tags and compression right. Versioning cannot be taken back by this API."""
        if olds.get("versioning", "off") != "off":
            raise ConfigurationError(
                "somebody switched versioning on; Milvus's deleted objects would be kept",
                where=f"GreenLake bucket {id_}",
                seen=olds["versioning"],
                remedy="suspend it on the system, or move to a new bucket",
            )
        api(news).update(self.kind, id_, _bucket(news))
        return UpdateResult({**news, "versioning": "off"})


def _bucket(props: dict[str, Any]) -> dict[str, Any]:
    """Return what a bucket shall be, in the API's own words."""
    tags = [*props["tags"], {"key": OWNER_TAG, "value": props["owner"]}]
    return {
        "compression": "ENABLED" if props["compression"] else "DISABLED",
        "bucketTags": [{"key": tag["key"], "value": tag["value"]} for tag in tags],
    }


def _owner(bucket: dict[str, Any]) -> str | None:
    tags = bucket.get("bucketTags") or []
    return next((tag.get("value") for tag in tags if tag.get("key") == OWNER_TAG), None)


class GreenLakePolicyProvider(_ThingProvider):
    """An access policy."""

    kind = "access-policies"

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the policy; one that says exactly the same is taken over."""
        system = api(props)
        there = system.find(self.kind, props["name"])
        if there is None:
            system.create(self.kind, {"name": props["name"], **_body(props["policy"])})
        elif not policies.same(_document(there), props["policy"]):
            raise _refuse(
                "access policy", props["name"], "choose another storage.greenlake.policyName"
            )
        return CreateResult(props["name"], props)

    def _seen(self, there: dict[str, Any]) -> dict[str, Any]:
        return {"policy": _document(there)}

    def _drifted(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        return not policies.same(olds["policy"], news["policy"])

    def update(self, id_: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put the policy right."""
        api(news).update(self.kind, id_, _body(news["policy"]))
        return UpdateResult(news)


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


class GreenLakeUserProvider(_ThingProvider):
    """A user with its access policies. Its name is its access key too."""

    kind = "users"
    identity = (*_ThingProvider.identity, "generation")
    delete_before_replace = True

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the user, keep the secret key that is shown this once, apply the policies."""
        system = api(props)
        if system.find(self.kind, props["name"]) is not None:
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
            system.delete(self.kind, props["name"])
            raise
        return CreateResult(props["name"], {**props, "secret_key": secret_key})

    def _seen(self, there: dict[str, Any]) -> dict[str, Any]:
        applied = there.get("policies")  # a system may leave them out
        return {} if applied is None else {"policies": applied}

    def _drifted(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        return sorted(olds["policies"]) != sorted(news["policies"])

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply the policies again; the key stays."""
        api(news).apply_policy(id_, list(news["policies"]))
        return UpdateResult({**news, "secret_key": olds["secret_key"]})


class _Thing(Resource):
    """A thing of an X10000; ``computed`` names what only its provider knows."""

    provided_by: ClassVar[type[_ThingProvider]]
    computed: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        resource_name: str,
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=SECRETS)
        super().__init__(
            self.provided_by(),
            resource_name,
            {**inputs, **dict.fromkeys(self.computed)},
            pulumi.ResourceOptions.merge(opts, secret),
        )


class GreenLakeBucket(_Thing, name="GreenLakeBucket"):
    """A bucket of an X10000."""

    provided_by = GreenLakeBucketProvider
    computed = ("versioning",)


class GreenLakePolicy(_Thing, name="GreenLakePolicy"):
    """An access policy of an X10000."""

    provided_by = GreenLakePolicyProvider


class GreenLakeUser(_Thing, name="GreenLakeUser"):
    """A user of an X10000. Its name is its access key."""

    provided_by = GreenLakeUserProvider
    computed = ("secret_key",)
    secret_key: pulumi.Output[str]
