"""What a site declares is handed on: no setting of any stack is passed over by the program.

Every field of every section is watched while the whole program is declared for stacks that differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import declaring
import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed
from test_guard import FULL, KIND
from test_kubernetes_cluster import OVER_SSH
from test_log import ADOPTED, PULSAR
from test_milvus_kubernetes_schemas import FULL as EVERY_ACCESS
from test_milvus_secrets import EVERYTHING
from test_observability import FULL as OBSERVED
from test_operator import OPERATED
from test_storage import PROVISION

from infra import program
from infra.settings.model import Section

S3_OF_ITS_OWN = changed(
    PROD,
    storage={"type": "s3", "credentials": {"existingSecret": {"name": "key"}}},
    kubernetes={"createNamespace": False},
    milvus={
        "tls": {"mode": "mutual", "existingSecret": "served", "existingClientSecret": "client"},
        "dataset": {"vectors": 1000, "dim": 8},
        "roles": {"querynode": {"placement": {"tolerations": [{"key": "k", "value": "v"}]}}},
    },
    images={
        "requireDigest": False,
        "mirrors": [{"source": "docker.io", "mirror": "registry.example.com/docker"}],
    },
)
MINIO_OF_ITS_OWN_NAME = changed(
    DEV,
    kubernetes={"createNamespace": False},
    storage={"tls": {"mode": "existing", "existingSecret": "minio"}},
)
TAGGED = changed(PROVISION)
TAGGED["storage"]["greenlake"] |= {"tags": [{"key": "k", "value": "v"}]}
STACKS = [
    *(DEV, STANDALONE, CLUSTER_23, PROD, FULL, KIND, OVER_SSH, ADOPTED, PULSAR, EVERY_ACCESS),
    *(EVERYTHING, OPERATED, OBSERVED, S3_OF_ITS_OWN, MINIO_OF_ITS_OWN_NAME, TAGGED),
]
RULES_ALONE = {
    ("_Endpoint", "allow_insecure"),  # lets an address through, and changes nothing else
    ("X10000", "mode"),  # is held against `greenlake`, which tells the two apart by itself
}


def declared_in(section: type[Section], name: str) -> str:
    """Return the class whose own field it is: one that inherits it shares it."""
    return next(
        one.__name__ for one in section.__mro__ if name in vars(one).get("__annotations__", {})
    )


def sections(of: type[Section] = Section) -> Iterator[type[Section]]:
    for one in of.__subclasses__():
        yield one
        yield from sections(one)


FIELDS = {
    (declared_in(one, name), name)
    for one in sections()
    if one.__module__.startswith("infra.settings")
    for name in one.model_fields
    if name not in {"type", "provider"}  # which tell the sections apart
}


@pytest.fixture
def read(monkeypatch) -> set[tuple[str, str]]:
    """The fields that were read since, of the class that has each."""
    seen: set[tuple[str, str]] = set()
    get, dump = Section.__getattribute__, Section.model_dump

    def note(section: Section, name: str) -> Any:
        if not name.startswith("_") and name in type(section).__pydantic_fields__:
            seen.add((declared_in(type(section), name), name))
        return get(section, name)

    def note_all(section: Section, **options: Any) -> dict[str, Any]:
        for name in type(section).__pydantic_fields__:
            inner = note(section, name)
            for one in inner if isinstance(inner, tuple) else (inner,):
                if isinstance(one, Section):
                    note_all(one)
        return dump(section, **options)

    monkeypatch.setattr(Section, "__getattribute__", note)
    monkeypatch.setattr(Section, "model_dump", note_all)
    return seen


@pytest.mark.slow
def test_every_setting_is_read_by_the_program_for_some_stack(request):
    found = [declaring.settings_of(stack) for stack in STACKS]  # read by its rules, so far
    read = request.getfixturevalue("read")
    for settings in found:
        declaring.run(lambda settings=settings: program.build(settings, "test"))
    assert len(FIELDS) > 150
    assert FIELDS - read - RULES_ALONE == set()
    assert RULES_ALONE & read == set()


def test_a_setting_that_nothing_reads_is_noticed(read):
    class Planted(Section):
        handed_on: int = 1
        forgotten: int = 2

    planted = Planted()
    assert planted.handed_on == 1
    assert {name for section, name in read if section == "Planted"} == {"handed_on"}
    planted.model_dump()
    assert ("Planted", "forgotten") in read
