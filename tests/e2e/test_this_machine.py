"""This machine is asked for only by those who may, and what is left on it is seen."""

from __future__ import annotations

import json

import pytest

from tests.e2e import host
from validation.errors import MissingToolError, OwnershipError


def test_without_root_the_run_says_so_and_does_not_begin(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MissingToolError, match="need root"):
        host.require_root()


def test_a_cluster_of_an_earlier_run_is_named(monkeypatch, tmp_path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"cluster": "ci", "since": "yesterday"}), encoding="utf-8")
    monkeypatch.setattr(host, "RECORD", str(record))
    with pytest.raises(OwnershipError, match="ci since yesterday"):
        host.require_no_cluster()


def test_what_is_left_of_a_cluster_is_seen(monkeypatch, tmp_path):
    left = tmp_path / "kubelet"
    left.mkdir()
    monkeypatch.setattr(host, "_FILES", (str(left),))
    assert f"file {left}" in host.leftovers()
