"""A resource that cannot be made; in a module of its own, by whose name the engine finds it."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource

from infra.provider import Provider
from validation.errors import ConfigurationError


class FailingProvider(Provider):
    """Fails."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        raise ConfigurationError(f"planted failure of {len(props)} properties")


class Failing(Resource, name="Failing"):
    """Fails."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(FailingProvider(), name, {}, opts)
