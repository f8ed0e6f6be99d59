"""What a load reads of all that lies in the bucket."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import botocore.exceptions as boto
import pytest

from validation.errors import MeasurementError
from validation.milvus import objects
from validation.milvus.objects import Stored, listed, of_segments
from validation.suite.checks import test_storage as storage_check
from validation.target import Storage

ROWS = Stored("insert_log", "files/insert_log/1/2/31/100/5", 10)
COMPACTED = Stored("insert_log", "files/insert_log/1/2/30/100/4", 20)
STATS = Stored("stats_log", "files/stats_log/1/2/31/100/6", 1)
DROPPED = Stored("index_files", "files/index_files/900/1/2/31/IVF", 40)
INDEX = Stored("index_files", "files/index_files/1001/1/2/31/HNSW_0", 80)
MORE = Stored("index_files", "files/index_files/1001/1/2/31/HNSW_1", 8)
OTHERS = Stored("index_files", "files/index_files/1002/1/2/32/HNSW_0", 160)
EVERYTHING = [ROWS, COMPACTED, STATS, DROPPED, INDEX, MORE, OTHERS]


@pytest.mark.parametrize(
    ("segments", "read"),
    [({"31"}, [ROWS, STATS, INDEX, MORE]), ({"31", "32"}, [ROWS, STATS, INDEX, MORE, OTHERS])],
)
def test_only_what_is_loaded_is_read_and_of_an_index_only_its_last_build(segments, read):
    assert of_segments(EVERYTHING, segments) == read


def test_of_no_segment_nothing_is_read():
    assert of_segments(EVERYTHING, set()) == []


class Bucket:
    """A bucket's listing, as boto3 tells it; what is forbidden is refused."""

    def __init__(self, *keys, forbidden="none"):
        self.keys, self.forbidden, self.asked = sorted(keys), forbidden, 0

    def list_objects_v2(self, Bucket, Prefix="", Delimiter="", MaxKeys=1_000):  # noqa: ARG002, N803
        self.asked += 1
        if Prefix.startswith(self.forbidden):
            raise boto.ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")
        below = [key.removeprefix(Prefix) for key in self.keys if key.startswith(Prefix)]
        folders = {f"{Prefix}{key.partition('/')[0]}/" for key in below if "/" in key}
        return {
            "Contents": [{"Key": Prefix + key, "Size": 7} for key in below[:MaxKeys]],
            "CommonPrefixes": [{"Prefix": one} for one in sorted(folders)] if Delimiter else [],
        }

    def get_paginator(self, _):
        return SimpleNamespace(paginate=lambda **asked: [self.list_objects_v2(**asked)])


def stored_below(monkeypatch, root, *more, declared, **bucket):
    below = f"{root}/" if root else ""
    keys = [f"{below}insert_log/47/2/31/100/5", f"{below}index_files/9/1/2/31/HNSW", *more]
    monkeypatch.setattr(objects, "connect", lambda _: Bucket(*keys, **bucket))
    connection = SimpleNamespace(
        explained=lambda _: contextlib.nullcontext(),
        client=SimpleNamespace(describe_collection=lambda *_, **__: {"collection_id": 47}),
        timeout=1,
    )
    storage = Storage(provider="s3", endpoint="http://h:1", bucket="b", root_path=declared)
    return listed(connection, "mk", storage)[1]  # type: ignore[arg-type]


@pytest.mark.parametrize("root", ["files", "", "milvus", "a/b/c"])
def test_a_root_path_that_is_not_declared_is_found(monkeypatch, root):
    found = stored_below(monkeypatch, root, "files/insert_log/48/1/1/100/1", declared=None)
    assert [one.kind for one in found] == ["insert_log", "index_files"]


@pytest.mark.parametrize("root", ["files", "", "a/b"])
def test_a_declared_root_path_is_taken_with_any_slashes_at_its_ends(monkeypatch, root):
    assert len(stored_below(monkeypatch, root, declared=f"/{root}/")) == 2


@pytest.mark.parametrize(
    ("declared", "root", "said"),
    [
        ("file", "files", r"below file/.*lies below files/[\s\S]*root_path: files"),
        ("", "files", "at the root of the bucket, and this collection lies below files/"),
        ("files", "", r"lies at the root[\s\S]*root_path: \'\'"),
    ],
)
def test_of_a_wrong_root_path_the_right_one_is_told(monkeypatch, declared, root, said):
    with pytest.raises(MeasurementError, match=said):
        stored_below(monkeypatch, root, declared=declared)


def test_what_may_not_be_listed_is_passed_over(monkeypatch):
    assert stored_below(monkeypatch, "m", "a/x/y", declared=None, forbidden="a/")


def test_a_bucket_that_holds_nothing_of_the_collection_holds_nothing():
    assert objects.root_of(Bucket("files/insert_log/48/1/1/1/1", "x/y"), "b", 47) is None


def test_a_collection_that_is_found_nowhere_may_lie_elsewhere_unless_its_place_is_declared(
    monkeypatch,
):
    with pytest.raises(MeasurementError, match=r"below none of the prefixes[\s\S]*name the prefix"):
        stored_below(monkeypatch, "a/b/c/d/e", declared=None)
    assert stored_below(monkeypatch, "a/b/c/d/e", declared="files") == []


def test_a_bucket_with_too_many_prefixes_is_not_looked_through_without_end():
    bucket = Bucket(*(f"p{number}/x" for number in range(900)))
    with pytest.raises(MeasurementError, match="name the prefix"):
        objects.root_of(bucket, "b", 47)
    assert bucket.asked < 1_000


def test_the_store_of_a_wrong_place_is_not_measured(monkeypatch):
    seen = {}

    def misplaced(*_):
        raise MeasurementError("it lies below files/", remedy="write files")

    monkeypatch.setattr(objects, "inventory", misplaced)
    storage = Storage(provider="s3", endpoint="http://h:1", bucket="b")
    storage_check.test_rows_and_index_are_in_the_bucket(
        lambda metric, *_, not_measured="", **__: seen.setdefault(metric, not_measured),
        None,
        SimpleNamespace(vectors=SimpleNamespace(nbytes=1)),
        SimpleNamespace(name="mk", under=lambda kind: kind),
        SimpleNamespace(indexes=("FLAT",)),
        SimpleNamespace(storage=storage),
    )
    assert set(seen) == {"storage.persisted_ratio", "storage.index_objects"}
    assert set(seen.values()) == {"it lies below files/: write files"}
