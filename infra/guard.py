"""The last resource of a stack: while data is protected, ``destroy`` stops here and takes nothing.

An engine deletes what depends on others first, and meets what is protected only when its turn
comes: without a preview, as automation runs it, everything else would be gone by then, root's
password and the CA's key among it. This resource depends on all others and is protected as the data
is, so that it is met first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource

from infra.provider import Provider


class GuardProvider(Provider):
    """Is there, and does nothing."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Be there."""
        return CreateResult("guard", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Never change."""
        return DiffResult(changes=False)


class Guard(Resource, name="Guard"):
    """Stands before everything that a stack has declared.

    Args:
        everything: The stack's resources; of a component, all that it consists of.
        protect: Whether ``destroy`` is refused.
    """

    def __init__(self, everything: Iterable[pulumi.Resource], *, protect: bool) -> None:
        options = pulumi.ResourceOptions(depends_on=list(everything), protect=protect)
        super().__init__(GuardProvider(), "guard", {}, options)
