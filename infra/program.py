"""A deployment's table of contents: what is declared, in this order."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pulumi
from pulumi.runtime import config

from infra import validation_job
from infra.day_zero import DayZero
from infra.guard import Guard
from infra.images import used
from infra.kubernetes.cluster import cluster
from infra.milvus import deployment
from infra.needs import needs_of
from infra.observability.monitoring import observe
from infra.secrets.authority import Authority
from infra.settings import PROJECT, Settings, rules
from infra.settings.parse import from_pulumi
from infra.storage import store
from infra.target_output import target
from validation.errors import MilvusKitError


def main() -> None:
    """Declare the stack that the engine asks for, and export its target.

    Raises:
        pulumi.RunError: With a message and without a traceback, for a mistake of the user's.
    """
    stack = pulumi.get_stack()
    # A language host hands the configuration over in the environment, the Automation API in memory.
    given = {**config.get_config_env(), **config.CONFIG.get()}
    secret = {*config.get_config_secret_keys_env(), *filter(config.is_config_secret, given)}
    try:
        pulumi.export("target", build(from_pulumi(given, secret, stack), stack))
    except MilvusKitError as error:
        if os.environ.get("MILVUS_KIT_DEBUG"):
            raise
        raise pulumi.RunError(str(error)) from None


def build(settings: Settings, stack: str) -> pulumi.Output[dict[str, Any]]:
    """Declare everything of one stack and return its target, a Pulumi secret.

    Args:
        settings: The stack's configuration.
        stack: Its name.

    Raises:
        ConfigurationError: The settings are too small for the declared data set, or ask for what
            this version cannot do. Nothing is declared then.
    """
    used(settings)
    for line in rules.remarks(dict(settings)):
        pulumi.log.warn(line)
    needs = needs_of(settings, where=f"stack {stack}")
    keep = pulumi.ResourceOptions(
        protect=settings.storage.protect, retain_on_delete=settings.storage.retain_on_delete
    )
    protect = settings.storage.protect
    guard = Guard(protect=protect)
    guarded = pulumi.ResourceOptions(depends_on=[guard])
    # Everything waits for it: nothing is touched by a program that contradicts the first day.
    first_day = DayZero(settings, pulumi.ResourceOptions.merge(keep, guarded))
    after = pulumi.ResourceOptions.merge(keep, pulumi.ResourceOptions(depends_on=[first_day]))
    place = cluster(settings, needs=needs, after=[guard], opts=after)
    place = dataclasses.replace(place, ready=(*place.ready, first_day))
    authority = Authority(f"{PROJECT}-{stack}", guarded)
    storage = store.deploy("storage", settings, cluster=place, authority=authority, opts=guarded)
    Guard(protect=protect, behind=[*place.ready, authority, storage.whole], name="storage")
    milvus = deployment.deploy(settings, place, storage, authority)
    extras = observe(settings, place)
    parts = [*place.ready, authority, storage.whole, milvus.whole, *extras]
    # Not behind the Job: its failure must leave everything else guarded.
    Guard(protect=protect, behind=parts, name="stack")
    validated = validation_job.planned(stack, settings, place, storage, milvus)
    if validated:
        validation_job.run(validated)
    configuration = validated.configuration if validated else None
    return target(stack, settings, storage, milvus, cluster=place, configuration=configuration)
