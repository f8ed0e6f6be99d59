"""What a newer kit made is told from what is broken, wherever a document is read."""

import json

import pytest

from validation import target as targets
from validation.datasets import manifest
from validation.errors import MilvusKitError, UsageError
from validation.local import state
from validation.report import results, store
from validation.s3.preflight import profile
from validation.verdicts import rules

READERS = {
    "target.yaml": (targets.SCHEMA, targets.load),
    "x.slo.yaml": (rules.SCHEMA, rules.load),
    "results.json": (results.SCHEMA, store.read_results),
    "profile.json": (profile.SCHEMA, profile.load),
    state.FILE: (state.SCHEMA, lambda path: state.read(path.parent)),
    manifest.MANIFEST: (manifest.SCHEMA, lambda path: manifest.verified(path.parent, ())),
}


@pytest.mark.parametrize("name", READERS)
def test_a_document_of_a_newer_schema_was_made_by_a_newer_kit(tmp_path, name):
    schema, read = READERS[name]
    path = tmp_path / name
    newer = f"{schema.rpartition('/')[0]}/12"
    path.write_text(json.dumps({"schema": newer, "unheard": "of"}), encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read(path)
    said = str(refused.value)
    assert "made by a newer kit" in said
    assert newer in said
    assert schema in said
    assert str(path) in said


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("schema", ["another/12", "", 12, None])
def test_a_document_of_another_schema_is_not_said_to_be_newer(tmp_path, name, schema):
    path = tmp_path / name
    path.write_text(json.dumps({"schema": schema}), encoding="utf-8")
    with pytest.raises(MilvusKitError) as refused:
        READERS[name][1](path)
    assert "newer" not in str(refused.value)
