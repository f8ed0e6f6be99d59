"""Generated passwords and access keys."""

from __future__ import annotations

import secrets
import string
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource

from infra.provider import Provider

LETTERS = string.ascii_letters + string.digits
KEY_LETTERS = string.ascii_uppercase + string.digits


class PasswordProvider(Provider):
    """Makes a password once. Changing ``length``, ``letters`` or ``generation`` makes a new one."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the password."""
        value = "".join(secrets.choice(props["letters"]) for _ in range(int(props["length"])))
        return CreateResult(secrets.token_hex(8), {**props, "value": value})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the password when what it was made from has changed."""
        changed = [key for key in ("length", "letters", "generation") if olds[key] != news[key]]
        return DiffResult(changes=bool(changed), replaces=changed)


class Password(Resource, name="Password"):
    """A generated secret of letters and digits, so that it needs no quoting anywhere.

    Args:
        resource_name: Pulumi name.
        length: Number of letters; 32 of 62 letters are 190 bits.
        letters: What it is made of.
        generation: Raise it to make a new one.
        opts: Resource options.
    """

    value: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        length: int = 32,
        letters: str = LETTERS,
        generation: int = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            PasswordProvider(),
            resource_name,
            {"length": length, "letters": letters, "generation": generation, "value": None},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=["value"])
            ),
        )

    @property
    def secret(self) -> pulumi.Output[str]:
        """Return the password as a Pulumi secret, whatever engine or mock answers."""
        return pulumi.Output.secret(self.value)
