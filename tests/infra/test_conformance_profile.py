"""A stack is refused where its recorded S3 profile does not show what it relies on."""

import json

import pytest

from infra.settings import conformance
from infra.settings.storage import S3

RECORDED = {
    "endpoint": "http://h:9",
    "bucket": "vectors",
    "region": "us-east-1",
    "root_path": "files",
}


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return which keys of a stack are refused, with an outcome of virtual-host style recorded."""
    monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))

    def keys(outcome: str, **declared: str) -> list[str]:
        profile = {
            "schema": conformance.SCHEMA,
            "storage": RECORDED,
            "verdict": "pass",
            "findings": [
                {"id": "addressing.path", "outcome": "pass"},
                {"id": "addressing.virtual-host", "outcome": outcome},
            ],
        }
        (tmp_path / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
        document = {
            "type": "s3",
            "endpoint": "http://h:9",
            "bucket": "vectors",
            "credentials": {"existingSecret": {"name": "s3"}},
            "conformanceProfile": "profile.json",
            **declared,
        }
        found = conformance.problems(S3.model_validate(document), embedded=False)
        return [one.key for one in found]

    return keys


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("pass", []), ("fail", ["storage.addressing"]), ("not measured", ["storage.addressing"])],
)
def test_a_style_is_accepted_only_where_it_was_seen_to_work(refused, outcome, expected):
    assert refused(outcome, addressing="virtual") == expected
    assert refused(outcome, addressing="path") == []


@pytest.mark.parametrize("name", ["region", "rootPath"])
def test_a_profile_of_another_region_or_root_path_is_refused(refused, name):
    assert refused("pass") == []
    assert refused("pass", **{name: "other"}) == [conformance.KEY]
