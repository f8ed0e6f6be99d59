"""What segments say of a collection, and what the bucket has to hold of them."""

from types import SimpleNamespace

import pytest
from pymilvus.grpc_gen import milvus_pb2

from validation.milvus import agreement, backing, segments, waiting
from validation.milvus.objects import Stored
from validation.milvus.segments import Segment
from validation.selftest.wire import segments as faults
from validation.selftest.wire.fault import Exchange
from validation.suite.checks import test_storage as storage_check

FIELDS = ("0", "1", "100")
MINE = Segment(31, 500, "Flushed")


def log(field, number=5, *, segment=31, size=10, kind="insert_log"):
    return Stored(kind, f"files/{kind}/1/2/{segment}/{field}/{number}", size)


STATS = log(100, 1, kind="stats_log")
INDEX = Stored("index_files", "files/index_files/900/1/2/31/HNSW", 40)
WHOLE = [*(log(field) for field in FIELDS), STATS, INDEX]


def compared(stored, wanted=(MINE,), **more):
    return backing.compare(stored, wanted, **{"fields": FIELDS, "indexed": {31: 800}, **more})


def test_a_bucket_with_all_objects_of_a_segment_and_no_others_agrees():
    found = compared(WHOLE)
    assert found.agrees
    assert (found.named, found.objects, found.unclear) == (1, 5, "")


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (WHOLE[2], "segment 31 (500 rows): an insert_log object of field 100"),
        (STATS, "segment 31 (500 rows): its stats_log object"),
        (INDEX, "segment 31 (500 rows): every file of its index"),
    ],
)
def test_each_object_that_is_gone_is_told(left_out, said):
    assert compared([one for one in WHOLE if one != left_out]).missing == [said]


def test_of_several_flushes_each_field_has_as_many_objects():
    assert compared([*WHOLE, log(0, 6), log(1, 6), log(100, 6)]).agrees
    assert len(compared([*WHOLE, log(0, 6)]).missing) == 2


def test_an_object_without_a_byte_is_missing():
    assert len(compared([*WHOLE[1:], log(0, size=0)]).missing) == 1


def test_of_a_segment_nothing_of_which_is_there_every_field_is_missing():
    found = compared([])
    assert len(found.missing) == len(FIELDS) + 2
    assert "holds nothing" in found.unclear


def test_where_fields_share_objects_some_are_enough():
    shared = [log(0), INDEX]
    assert compared(shared, fields=()).agrees
    assert len(compared([INDEX], fields=()).missing) == 1


def test_a_segment_without_rows_needs_no_objects_and_is_no_comparison():
    found = compared([], wanted=(), named=[Segment(7, 0, "Flushed")])
    assert (found.missing, found.compared, found.agrees) == ([], 0, False)
    assert found.uncompared == "the server names no segment with rows"


def test_a_whole_flush_that_is_gone_is_told_by_the_statistics_of_its_keys():
    merged = log(100, 1, kind="stats_log")
    flushes = [log(100, number, kind="stats_log") for number in (7, 8)]
    assert compared([*WHOLE, merged, flushes[0]]).agrees
    found = compared([*WHOLE, merged, *flushes])
    assert [one.rpartition(": ")[2] for one in found.missing] == [
        f"an insert_log object of field {field}" for field in FIELDS
    ]


def test_files_of_an_index_that_was_dropped_are_not_those_of_the_current_one():
    assert compared(WHOLE, indexed={31: 899}).agrees
    found = compared(WHOLE, indexed={31: 901})
    assert found.missing == ["segment 31 (500 rows): every file of its index"]


def test_what_was_compacted_while_the_bucket_was_listed_is_not_compared_and_not_agreed():
    found = compared(WHOLE, wanted=(), named=[MINE, Segment(32, 500, "Flushed")], known={31})
    assert (found.missing, found.compared, found.passing, found.agrees) == ([], 0, 2, False)
    assert found.uncompared.startswith("2 segments with rows were named only before or after")
    assert found.unclear == found.uncompared
    partly = compared(WHOLE, named=[MINE, Segment(32, 500, "Flushed")])
    assert (partly.compared, partly.rows, partly.agrees) == (1, 500, False)


def observed(monkeypatch, found, *, rows=500):
    seen = {}
    monkeypatch.setattr(storage_check.backing, "settled", lambda *_, **__: found)
    storage_check.observe_backing(
        lambda metric, samples=(), **more: seen.update({metric: (list(samples), more)}),
        None,
        object(),
        SimpleNamespace(name="mk", segments=frozenset({31}), rows=rows),
        "generated",
    )
    return seen["storage.objects_missing"], seen["storage.objects_unnamed"]


@pytest.mark.parametrize("there", [WHOLE, []])
def test_where_rows_were_loaded_and_the_server_names_no_segment_objects_are_missing(
    monkeypatch, there
):
    (samples, more), (_, unnamed) = observed(monkeypatch, compared(there, wanted=(), known={31}))
    assert (samples, more["not_measured"]) == ([1], None)
    assert more["evidence"]["examples"][0].endswith("and 500 were loaded")
    assert unnamed["not_measured"]
    assert more["evidence"]["compared"] == {"segments": 0, "rows": 0}


def test_where_no_rows_are_known_of_or_segments_change_nothing_is_measured(monkeypatch):
    nothing = compared(WHOLE, wanted=(), known={31})
    (_, more), _ = observed(monkeypatch, nothing, rows=0)
    assert more["not_measured"] == "the server names no segment with rows"
    changing = compared(WHOLE, wanted=(), named=[Segment(32, 500, "Flushed")], known={31})
    (_, more), _ = observed(monkeypatch, changing)
    assert "named only before or after" in more["not_measured"]


def test_what_is_missing_fails_and_what_was_compared_passes(monkeypatch):
    (samples, more), _ = observed(monkeypatch, compared(WHOLE[1:]))
    assert (samples, more["not_measured"]) == ([1], None)
    (samples, more), (stray, its) = observed(monkeypatch, compared(WHOLE))
    assert (samples, more["not_measured"], stray, its["not_measured"]) == ([0], None, [0], None)
    assert more["evidence"]["compared"] == {"segments": 1, "rows": 500}


def test_objects_of_a_segment_that_nobody_named_are_told_by_their_keys():
    stray = log(0, segment=99)
    assert compared([*WHOLE, stray]).unnamed == [stray.key]
    assert compared([*WHOLE, stray], named=[Segment(99, 1, "Flushed")]).unnamed == []


def test_what_was_compacted_is_no_surprise_and_what_may_have_come_of_it_cannot_be_told():
    old, stray = log(0, segment=30), log(0, segment=99)
    assert compared([*WHOLE, old], known={30, 31}).agrees
    found = compared([*WHOLE, old, stray], known={30, 31})
    assert found.unnamed == [stray.key]
    assert "compacted meanwhile" in found.unclear


HELD = [
    Segment(1, 100, "Sealed", frozenset({1, 2})),
    Segment(2, 50, "Sealed", frozenset({1})),
    Segment(2, 50, "Sealed", frozenset({2, 1})),
    Segment(3, 7, "Growing", frozenset({9})),
]


def test_each_replica_has_the_rows_of_its_own_nodes_each_segment_once():
    replicas = {70: frozenset({1}), 80: frozenset({2, 3}), 90: frozenset({4})}
    assert agreement.by_replica(HELD, replicas) == {"70": 150, "80": 150, "90": 0}


def test_an_account_agrees_where_every_way_of_counting_does():
    assert agreement.Account(150, {"70": 150, "80": 150}, {}).agrees(150)
    assert not agreement.Account(150, {"70": 150, "80": 143}, {}).agrees(150)
    assert not agreement.Account(143, {"70": 150}, {}).agrees(150)


def test_what_settles_late_is_waited_for_and_what_never_does_is_returned(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(waiting.time, "sleep", lambda _: None)
    seen = iter([1, 2, 3, 4])
    assert waiting.look_until(lambda: next(seen), lambda one: one == 3, seconds=50) == 3
    assert waiting.look_until(lambda: 7, lambda _: False, seconds=3) == 7


def answering(**replies):
    return SimpleNamespace(
        endpoint=SimpleNamespace(database="default"),
        timeout=1,
        wire=SimpleNamespace(call=lambda method, *_, **__: replies[method]),
    )


def stored(**more):
    one = milvus_pb2.GetPersistentSegmentInfoResponse()
    one.infos.add(segmentID=31, num_rows=500, state=4, **more)
    return one


def in_memory():
    one = milvus_pb2.GetQuerySegmentInfoResponse()
    one.infos.add(segmentID=31, num_rows=500, state=3, nodeIds=[1, 2], indexID=8)
    one.infos.add(segmentID=32, num_rows=7, state=2, nodeIds=[1])
    return one


def test_segments_are_read_as_the_server_tells_them():
    server = answering(GetPersistentSegmentInfo=stored(), GetQuerySegmentInfo=in_memory())
    assert segments.stored(server, "mk") == [MINE]  # pyright: ignore[reportArgumentType]
    indexed, growing = segments.in_memory(server, "mk")  # pyright: ignore[reportArgumentType]
    assert indexed == Segment(31, 500, "Sealed", frozenset({1, 2}), index=8)
    assert (growing.state, growing.indexed) == ("Growing", False)


def test_a_planted_fault_takes_rows_of_one_segment_or_a_segment_and_nothing_of_none():
    reply = stored()
    assert faults.Fewer(7)(Exchange("GetPersistentSegmentInfo", None, None, reply))
    assert reply.infos[0].num_rows == 493
    reply = in_memory()
    assert faults.first_left_out(Exchange("GetQuerySegmentInfo", None, None, reply))
    assert [one.segmentID for one in reply.infos] == [32]
    empty = milvus_pb2.GetQuerySegmentInfoResponse()
    assert not faults.first_left_out(Exchange("GetQuerySegmentInfo", None, None, empty))
    request = milvus_pb2.GetQuerySegmentInfoRequest(collectionName="mk_1_generated")
    assert faults.Of("generated")(request)
    assert not faults.Of("sample")(request)
