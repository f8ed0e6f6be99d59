"""Secret values that come from outside: the stack's configuration, or Secrets already there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pulumi

from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.settings import PROJECT
from infra.settings.model import ConfigSecret, SecretValue
from validation.common.secret_text import why_unusable
from validation.errors import ConfigurationError


class WrongSecretError(ConfigurationError, pulumi.RunError):
    """A secret is not there, or cannot be one.

    It shows only once the value is known, when Pulumi prints a traceback for everything that is
    no RunError.
    """


def configured(name: ConfigSecret) -> pulumi.Output[str]:
    """Return a secret of the stack's own configuration.

    Raises:
        WrongSecretError: When it is applied: see `usable`.
    """
    secret = pulumi.Config(PROJECT).require_secret(str(name))
    remedy = f"set it again: `pulumi config set --secret {name}`"
    where = f"configuration key {name}"
    return pulumi.Output.secret(secret).apply(lambda text: usable(text, where, remedy))


def usable(text: str, where: str, remedy: str) -> str:
    """Return a secret that is not empty and was not pasted with white space around it.

    Raises:
        WrongSecretError: It is one of both.
    """
    wrong = why_unusable(text)
    if wrong:
        raise WrongSecretError(wrong, where=where, remedy=remedy)
    return text


def existing(name: str, cluster: ClusterContract, purpose: str) -> kinds.Secret:
    """Return a Secret that is already in the deployment's namespace.

    Args:
        name: Its name.
        cluster: Where it is.
        purpose: What it is read for; one Secret may be read for several purposes.
    """
    return kinds.Secret.get(
        f"{purpose}-{name}",
        f"{cluster.namespace}/{name}",
        pulumi.ResourceOptions(provider=cluster.provider, depends_on=list(cluster.ready)),
    )


def text_of(secret: kinds.Secret, key: str) -> pulumi.Output[str]:
    """Return what one key of a Secret holds, as a Pulumi secret.

    Raises:
        WrongSecretError: When it is applied: the Secret is there and has no such key, or what it
            holds is not `usable`.
    """
    name = secret.pulumi_resource_name

    def text(data: Mapping[str, str] | None) -> str:
        where = f"existing Secret, read as {name}"
        if data is not None and key not in data:
            raise WrongSecretError(
                f"the Secret has no key {key}",
                where=where,
                seen=sorted(data),
                remedy="add it, or name one of the keys that are there",
            )
        if data is None:  # not known yet
            return ""
        text = base64.b64decode(data[key]).decode()
        return usable(text, f"{where}, key {key}", "put the secret alone into it")

    return pulumi.Output.secret(secret.data).apply(text)


def value(source: SecretValue, cluster: ClusterContract, purpose: str) -> pulumi.Output[str]:
    """Return the secret that a setting refers to; ``purpose`` as in `existing`."""
    if source.config is not None:
        return configured(source.config)
    if source.existing_secret is None:
        raise AssertionError("the settings require one source")
    there = source.existing_secret
    return text_of(existing(there.name, cluster, purpose), there.key)


def fingerprint(*parts: pulumi.Input[str], guessable: bool = False) -> pulumi.Output[str]:
    """Return a hash that changes when any part does; it is no secret itself.

    A pod template that carries it rolls when the Secret it reads has changed.

    Args:
        parts: What is fingerprinted.
        guessable: Somebody may have chosen it: it is hashed slowly, as stored passwords are, so
            that who reads pods cannot try a dictionary on it.
    """

    def hashed(found: list[str]) -> str:
        text = "\0".join(str(part) for part in found).encode()
        if guessable:
            salt = b"milvus-kit/fingerprint"  # the same everywhere, or a second `up` would roll
            return hashlib.scrypt(text, salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
        return hashlib.sha256(text).hexdigest()

    return pulumi.Output.unsecret(pulumi.Output.all(*parts).apply(hashed))
