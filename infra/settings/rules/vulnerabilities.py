"""Rules of published vulnerabilities: prod refuses a version that has one, dev says so."""

from __future__ import annotations

from collections.abc import Iterator

from infra.settings.milvus import Milvus
from infra.settings.problem import Problem
from infra.settings.rules.registry import remark, rule
from validation.milvus import vulnerabilities


@rule
def _prod_has_no_known_vulnerability(environment: str, milvus: Milvus) -> Iterator[Problem]:
    if environment == "prod":
        yield from _open(milvus)


@remark
def _known_vulnerabilities(environment: str, milvus: Milvus) -> Iterator[Problem]:
    if environment != "prod":
        yield from _open(milvus)


@rule
def _accepted_risks_are_known(milvus: Milvus) -> Iterator[Problem]:
    known = [one.id for one in vulnerabilities.TABLE]
    for name in milvus.accepted_risks:
        if name not in known:
            yield Problem(
                f"milvus.acceptedRisks.{name}",
                "this is not in the kit's table, so there is nothing to accept",
                remedy=f"remove it; the table holds {', '.join(known)}",
            )


def _open(milvus: Milvus) -> Iterator[Problem]:
    """Yield each vulnerability that the version has and that nobody has accepted."""
    for one in vulnerabilities.of(milvus.version):
        if one.id not in milvus.accepted_risks:
            yield Problem(
                "milvus.version",
                f"{one.id}: {one.what} ({one.source})",
                seen=repr(milvus.version),
                remedy=f"use {', '.join(one.fixes)} or later of its line, or a later line; or say"
                f" in milvus.acceptedRisks.{one.id} why this version may run",
            )
