"""Guards: while data is protected, ``destroy`` stops before it takes anything.

An engine deletes what depends on others first, and meets what is protected only when its turn
comes: without a preview, as automation runs it, everything else would be gone by then, root's
password and the CA's key among it. So there is a guard before everything, and one behind each part:

- The first resource of a stack has a hook on its deletion. Hooks belong to the program, and an
  engine that destroys without running it refuses, before it touches anything, also what a first
  `up` that failed has left.
- ``destroy --run-program`` has the program at hand. It meets the guards that stand behind the
  parts: each is protected, and depends on all of what its part consists of, so that it is met
  before that. A part that is not complete has none yet, the parts before it do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource

from infra.provider import Provider

REFUSAL = "storage.protect is on; set it to false and run `pulumi up` first"
"""The hook's name, since that is what an engine shows that does not run the program."""


class GuardProvider(Provider):
    """Is there, and does nothing."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Be there."""
        return CreateResult("guard", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Never change."""
        return DiffResult(changes=False)


class Guard(Resource, name="Guard"):
    """Stands before a whole stack, and behind what it is given.

    Args:
        protect: Whether ``destroy`` is refused.
        behind: What it stands behind; of a component, all that it consists of. None: before all.
        name: Of what it stands behind.
    """

    def __init__(
        self,
        *,
        protect: bool,
        behind: Iterable[pulumi.Resource] | None = None,
        name: str = "",
    ) -> None:
        options = pulumi.ResourceOptions(depends_on=list(behind or ()), protect=protect)
        if behind is None and protect:
            hook = pulumi.ResourceHook(REFUSAL, _refuse)
            options.hooks = pulumi.ResourceHookBinding(before_delete=[hook])
        super().__init__(GuardProvider(), f"guard-{name}" if name else "guard", {}, options)


def _refuse(_: pulumi.ResourceHookArgs) -> None:
    raise pulumi.RunError(REFUSAL)
