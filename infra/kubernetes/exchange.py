"""Refuses another cluster in the place of the one that a stack was deployed on.

Pulumi would carry on as if nothing had happened: an object is a name to it, and the names are the
same on an empty cluster, where the data is not. So a setting that makes another cluster of one that
stands is refused at preview, and a cluster is known again by the UID of its namespace
``kube-system``, which is as old as itself. Whoever wants another one says so: ``pulumi destroy``,
which heeds ``storage.protect``, and ``pulumi up``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pulumi.dynamic import CheckFailure

from validation.errors import OwnershipError

_REMEDY = (
    "go back to the earlier value; for another cluster, which begins empty, take this one down"
    " first: `pulumi destroy`, then `pulumi up`"
)


def refused(before: Mapping[str, str], now: Mapping[str, str]) -> list[CheckFailure]:
    """Return why settings are not those of the cluster that stands; empty if they are.

    Args:
        before: What decided which cluster was made, by key.
        now: The same of the settings as they are now.
    """
    return [
        CheckFailure(
            key,
            f"{key}: another value makes another cluster, and all that is on this one would be lost"
            f" (was {old}, now {now[key]}). -> {_REMEDY}",
        )
        for key, old in before.items()
        if key in now and now[key] != old
    ]


def require_same(before: str | None, now: str, where: str) -> None:
    """Make sure that a cluster is the one that the stack was deployed on.

    Args:
        before: UID of its namespace ``kube-system`` then; empty if it was not known.
        now: The same now; empty if it may not be read.
        where: How the cluster is reached.

    Raises:
        OwnershipError: It is another one.
    """
    if not before or not now or before == now:
        return
    raise OwnershipError(
        "this is not the cluster that the stack was deployed on",
        where=where,
        seen=f"namespace kube-system has UID {now}, it was {before}",
        remedy="name the earlier cluster again, and deploy another stack on this one. If the"
        " earlier one is lost for good with all that was on it, let the state forget that: `pulumi"
        " state delete --force --target-dependents` with the URN of the resource `cluster` (`pulumi"
        " stack --show-urns`), `pulumi refresh`, `pulumi up`",
    )
