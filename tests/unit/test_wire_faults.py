"""Faults on the wire: what each does to a decoded request or reply, and nothing else."""

import pickle
from itertools import chain

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from validation.milvus.columns import to_message
from validation.runs.profiles import profile_named
from validation.selftest.faults import FAULTS
from validation.selftest.wire import answers, conditions, stored
from validation.selftest.wire.answers import Rearranged
from validation.selftest.wire.conditions import Filtered, Where
from validation.selftest.wire.fault import Exchange, WireFault
from validation.selftest.wire.hits import hits, keys
from validation.selftest.wire.rows import take
from validation.selftest.wire.script import SERVICE, Script, service

SEARCH = SERVICE + "Search"
LATER = conditions.Later("2025-01-15", "2025-02-14")


CUT, BACKWARDS = Rearranged(answers.first_five), Rearranged(answers.backwards)


def reply(ids=((5, 7, 3), (2,), (8, 9)), *, text=False):
    """A reply to a search: primary keys for each query, from which scores and fields follow."""
    flat = [key for one in ids for key in one]
    found = schema_pb2.SearchResultData(
        num_queries=len(ids), top_k=3, topks=[len(one) for one in ids], primary_field_name="id"
    )
    if text:
        found.ids.str_id.data.extend(f"k{key}" for key in flat)
    else:
        found.ids.int_id.data.extend(flat)
    found.scores.extend(key / 10 for key in flat)
    found.fields_data.append(to_message("bucket", np.array([key * 100 for key in flat])))
    found.fields_data.append(to_message("vector", np.array([[key, -key] for key in flat], "f4")))
    return milvus_pb2.SearchResults(results=found)


def shown(message):
    """What a reply says, query by query: (key, score, bucket, first of the vector)."""
    results = message.results
    buckets = results.fields_data[0].scalars.long_data.data
    vectors = results.fields_data[1].vectors.float_vector.data
    return [
        [
            (keys(results)[at], round(results.scores[at], 3), buckets[at], vectors[2 * at])
            for at in one
        ]
        for one in hits(results)
    ]


def of(key):
    return (key, key / 10, key * 100, key)


def search(**fields):
    """A search as pymilvus sends it."""
    topk, params, field = (fields.pop(key, "") for key in ("topk", "params", "field"))
    request = milvus_pb2.SearchRequest(collection_name="mk_generated", nq=1, **fields)
    for key, value in (("topk", str(topk)), ("params", params), ("anns_field", field)):
        request.search_params.add(key=key, value=value)
    return request


def struck(strike, message, request=None):
    """A reply after a fault."""
    exchange = Exchange("Search", request, request, message)
    assert strike(exchange)
    return shown(message)


@pytest.mark.parametrize("text", [False, True])
def test_a_doubled_hit_comes_twice_with_all_that_is_its_own_and_the_last_is_gone(text):
    message = reply(((5, 7, 3),), text=text)
    first, second = [("k5", *of(5)[1:]), ("k7", *of(7)[1:])] if text else [of(5), of(7)]
    assert struck(Rearranged(answers.last_but_one_twice), message) == [[first, second, second]]


def test_scaled_scores_keep_their_order_and_everything_else():
    before = shown(reply())
    after = struck(answers.scaled_scores, reply())
    for one, other in zip(chain(*before), chain(*after), strict=True):
        assert other[1] == pytest.approx(one[1] * 1.05 + 0.25, abs=1e-3)
        assert other[0::2] == one[0::2]


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        (answers.backwards, [[of(3), of(7), of(5)], [of(2)], [of(9), of(8)]]),
        (answers.last_two_exchanged, [[of(5), of(3), of(7)], [of(2)], [of(9), of(8)]]),
        (answers.first_everywhere, [[of(5)] * 3, [of(2)], [of(8)] * 2]),
    ],
)
def test_hits_are_rearranged_within_each_query(how, seen):
    assert struck(Rearranged(how), reply()) == seen


def test_one_answer_in_so_many_is_rearranged():
    seen = struck(Rearranged(answers.backwards, 2), reply(((5, 7), (2, 1), (8, 9), (4, 6))))
    assert seen == [[of(7), of(5)], [of(2), of(1)], [of(9), of(8)], [of(4), of(6)]]


def test_answers_are_cut_short_and_counted_so():
    message = reply(((1, 2, 3, 4, 5, 6, 7), (8,)))
    assert struck(CUT, message) == [[of(1), of(2), of(3), of(4), of(5)], [of(8)]]
    assert list(message.results.topks) == [5, 1]


def test_an_answer_that_is_short_already_is_not_changed():
    message = reply()
    before = message.SerializeToString()
    assert not CUT(Exchange("Search", None, None, message))
    assert message.SerializeToString() == before


@pytest.mark.parametrize("text", [False, True])
def test_a_row_that_nobody_sent_is_named_in_the_last_place_of_one_answer_in_so_many(text):
    message = reply(((5, 7), (2, 3), (8,)), text=text)
    seen = struck(answers.NeverSent(2), message)
    known = {f"k{key}" for key in range(10)} if text else {*range(10)}
    assert [[row[0] in known for row in one] for one in seen] == [
        [True, False],
        [True] * 2,
        [False],
    ]
    assert [row[1:] for row in seen[0]] == [of(5)[1:], of(7)[1:]]


def test_a_few_queries_get_the_answers_to_one_another():
    message = reply(((5,), (7, 3), (2,), (8,)))
    assert struck(answers.MixedUp(3), message) == [[of(2)], [of(5)], [of(7), of(3)], [of(8)]]
    assert list(message.results.topks) == [1, 1, 2, 1]
    assert not answers.MixedUp(5)(Exchange("Search", None, None, reply()))


def test_fields_come_from_another_hit_of_the_same_query_and_keys_and_scores_stay():
    seen = struck(answers.fields_of_another_row, reply())
    assert [one[:2] for one in seen[0]] == [of(5)[:2], of(7)[:2], of(3)[:2]]
    assert [one[2:] for one in seen[0]] == [of(7)[2:], of(3)[2:], of(5)[2:]]
    assert seen[1] == [of(2)]


def test_a_missed_neighbour_is_the_nearest_and_the_answer_is_as_long_as_asked():
    asked, request = search(topk=2), search(topk=2)
    exchange = Exchange("Search", asked, request, reply())
    assert answers.one_hit_more(exchange)
    assert conditions.parameters(request)["topk"] == "3"
    assert answers.MissedFirst(1)(exchange)
    assert shown(exchange.reply) == [[of(7), of(3)], [of(2)], [of(8), of(9)]]
    assert exchange.reply.results.top_k == 2


def test_a_query_is_asked_as_another_one_and_the_first_has_none_to_take():
    strike = answers.AnothersAnswer()
    asked = [search(placeholder_group=vector) for vector in (b"one", b"two", b"two")]
    sent = []
    for one in asked:
        request = milvus_pb2.SearchRequest.FromString(one.SerializeToString())
        sent.append((strike(Exchange("Search", one, request)), request.placeholder_group))
    assert sent == [(False, b"one"), (True, b"one"), (False, b"two")]


@pytest.mark.parametrize(
    ("where", "request_", "holds"),
    [
        (Where("generated"), search(), True),
        (Where("sample"), search(), False),
        (Where(field="vector"), search(field="vector"), True),
        (Where(field="vector"), search(field="sparse"), False),
        (Where(field="vector"), milvus_pb2.HybridSearchRequest(), False),
        (Where(filtered=True), search(dsl="a < 1"), True),
        (Where(filtered=False), search(dsl="a < 1"), False),
        (Where(filtered=False), search(), True),
        (Where(approximate=True), search(params='{"ef": 64}'), True),
        (Where(approximate=True), search(params='{"nprobe": 8}'), True),
        (Where(approximate=False), search(params='{"ef": 64}'), False),
        (Where(approximate=False), search(), True),
        (Where(load=True), search(consistency_level=2), True),
        (Where(load=True), search(consistency_level=0), False),
        (Where(load=True), search(consistency_level=2, use_default_consistency=True), False),
        (Where(load=False), milvus_pb2.InsertRequest(collection_name="x"), True),
        (Where(filtered=True), milvus_pb2.QueryRequest(expr="id > 1"), True),
        (
            Where(filtered=True),
            milvus_pb2.HybridSearchRequest(requests=[search(dsl="a < 1"), search()]),
            True,
        ),
    ],
)
def test_a_fault_is_about_the_requests_that_it_names(where, request_, holds):
    assert where(request_) is holds


@pytest.mark.parametrize(
    ("change", "asked", "sent"),
    [
        (conditions.without, "bucket < 5", ""),
        (conditions.in_as_equals, 'language in ["fr", "de"]', 'language == "fr"'),
        (conditions.in_as_equals, "a == 1 and level in [1, 2]", "a == 1 and level == 1"),
        (conditions.in_as_equals, 'language in ["fr"]', 'language in ["fr"]'),
        (conditions.in_as_equals, "id in [1, 2]", "id in [1, 2]"),
        (LATER, 'a == 1 and date >= "2025-01-15"', 'a == 1 and date >= "2025-02-14"'),
        (LATER, 'date >= "2025-01-16"', 'date >= "2025-01-16"'),
        (LATER, 'date < "2025-01-15"', 'date < "2025-01-15"'),
        (
            conditions.Leaking("bucket < 100", "id < 7"),
            "bucket < 100",
            "(bucket < 100) or id < 7",
        ),
        (conditions.Leaking("bucket < 100", "id < 7"), "bucket < 10", "bucket < 10"),
    ],
)
@pytest.mark.parametrize("message", ["SearchRequest", "QueryRequest", "HybridSearchRequest"])
def test_a_filter_is_changed_in_every_kind_of_request(change, asked, sent, message):
    field = {"SearchRequest": "dsl", "QueryRequest": "expr"}.get(message)
    if field:
        request = getattr(milvus_pb2, message)(**{field: asked})
    else:
        request = milvus_pb2.HybridSearchRequest(requests=[search(), search(dsl=asked)])
    assert Filtered(change)(Exchange("X", request, request)) is (asked != sent)
    assert (getattr(request, field) if field else request.requests[1].dsl) == sent


def insert(ids=(1, 2, 3)):
    columns = {
        "id": np.array(ids),
        "vector": np.array([[key, key + 0.5] for key in ids], dtype="f4"),
        "text": [f"t{key}" for key in ids],
    }
    return milvus_pb2.InsertRequest(
        collection_name="mk_generated",
        fields_data=[to_message(name, values) for name, values in columns.items()],
        num_rows=len(ids),
    )


def written(strike, ids=(1, 2, 3)):
    """What the server is sent, and what the client is told of it."""
    asked = insert(ids)
    exchange = Exchange("Insert", asked, insert(ids))
    assert strike.ask(exchange)
    request = exchange.request
    columns = {field.field_name: field for field in request.fields_data}
    stored_keys = list(columns["id"].scalars.long_data.data)
    exchange.reply = milvus_pb2.MutationResult(
        insert_cnt=request.num_rows, succ_index=range(request.num_rows)
    )
    exchange.reply.IDs.int_id.data.extend(stored_keys)
    if hasattr(strike, "answer"):
        assert strike.answer(exchange)
    return request, columns, stored_keys, exchange.reply


def test_rows_that_are_not_stored_are_acknowledged_all_the_same():
    request, columns, stored_keys, told = written(stored.NotStored(frozenset({2})))
    assert stored_keys == [1, 3]
    assert request.num_rows == 2
    assert list(columns["vector"].vectors.float_vector.data) == [1, 1.5, 3, 3.5]
    assert list(columns["text"].scalars.string_data.data) == ["t1", "t3"]
    assert list(told.IDs.int_id.data) == [1, 2, 3]
    assert told.insert_cnt == 3
    assert list(told.succ_index) == [0, 1, 2]


def test_rows_that_nobody_sent_are_stored_and_not_told_of():
    request, columns, stored_keys, told = written(stored.NeverSent(frozenset({3})))
    assert stored_keys == [1, 2, 3, 3 + 10**12]
    assert request.num_rows == 4
    assert list(columns["text"].scalars.string_data.data)[3] == "t3"
    assert list(told.IDs.int_id.data) == [1, 2, 3]
    assert told.insert_cnt == 3


def test_a_changed_row_differs_in_one_bit_of_its_vector():
    _, columns, stored_keys, _ = written(stored.Changed(frozenset({2})))
    vectors = np.array(columns["vector"].vectors.float_vector.data, dtype="f4").view(np.int32)
    sent = np.array([1, 1.5, 2, 2.5, 3, 3.5], dtype="f4").view(np.int32)
    assert (vectors - sent).tolist() == [0, 0, 1, 0, 0, 0]
    assert stored_keys == [1, 2, 3]


def test_a_batch_without_such_rows_is_stored_as_it_came():
    for strike in (stored.NotStored, stored.NeverSent, stored.Changed):
        exchange = Exchange("Insert", insert(), insert())
        assert not strike(frozenset({99})).ask(exchange)
        assert exchange.request == exchange.asked


def test_rows_are_miscounted_only_where_they_are_counted():
    counts = milvus_pb2.QueryResults(fields_data=[to_message("count(*)", np.array([100]))])
    assert stored.Miscounted(-7)(Exchange("Query", None, None, counts))
    assert list(counts.fields_data[0].scalars.long_data.data) == [93]
    rows = milvus_pb2.QueryResults(fields_data=[to_message("bucket", np.array([100]))])
    assert not stored.Miscounted(-7)(Exchange("Query", None, None, rows))
    assert stored.is_counted(milvus_pb2.QueryRequest(output_fields=["count(*)"]))
    assert not stored.is_counted(milvus_pb2.QueryRequest(output_fields=["id"]))


def test_another_version_is_named_wherever_it_is_asked_for():
    version, connected = milvus_pb2.GetVersionResponse(), milvus_pb2.ConnectResponse()
    assert stored.Answering("v9")(Exchange("GetVersion", None, None, version))
    assert stored.Answering("v9")(Exchange("Connect", None, None, connected))
    assert (version.version, connected.server_info.build_tags) == ("v9", "v9")


def every_kind_of_column():
    """Columns of three rows, of each kind that a message can hold."""
    scalar, vector = schema_pb2.ScalarField, schema_pb2.VectorField
    yield schema_pb2.FieldData(
        scalars=scalar(bool_data=schema_pb2.BoolArray(data=[True, False, False]))
    )
    yield schema_pb2.FieldData(scalars=scalar(int_data=schema_pb2.IntArray(data=[1, 2, 3])))
    yield schema_pb2.FieldData(
        scalars=scalar(json_data=schema_pb2.JSONArray(data=[b"1", b"2", b"3"]))
    )
    yield schema_pb2.FieldData(
        scalars=scalar(
            array_data=schema_pb2.ArrayArray(
                data=[scalar(int_data=schema_pb2.IntArray(data=[at] * at)) for at in range(3)]
            )
        )
    )
    yield schema_pb2.FieldData(vectors=vector(dim=16, binary_vector=b"aabbcc"))
    yield schema_pb2.FieldData(vectors=vector(dim=2, float16_vector=b"aaaabbbbcccc"))
    yield schema_pb2.FieldData(vectors=vector(dim=2, bfloat16_vector=b"aaaabbbbcccc"))
    yield schema_pb2.FieldData(vectors=vector(dim=2, int8_vector=b"aabbcc"))
    sparse = schema_pb2.SparseFloatArray(contents=[b"a", b"bb", b"ccc"], dim=9)
    yield schema_pb2.FieldData(vectors=vector(dim=9, sparse_float_vector=sparse))


@pytest.mark.parametrize("field", [*every_kind_of_column()], ids=lambda _: "column")
def test_rows_of_any_kind_of_column_are_taken_as_often_and_in_the_order_named(field):
    original = type(field)()
    original.CopyFrom(field)
    take([field], [2, 0])
    assert field != original
    take([field], [1, 0, 0])
    take([original], [0, 2, 2])
    assert field == original


@pytest.mark.parametrize("data", [[1, 0, 3], [1, 3]], ids=["with holes", "without"])
def test_nulls_stay_with_their_rows(data):
    field = schema_pb2.FieldData(valid_data=[True, False, True])
    field.scalars.long_data.data.extend(data)
    take([field], [1, 2])
    assert list(field.valid_data) == [False, True]
    assert list(field.scalars.long_data.data) == ([0, 3] if len(data) == 3 else [3])


def met(script, request, answer):
    """What server and client get of one search."""
    meeting = script.begin(SEARCH, request)
    if meeting is None:
        return request, answer
    return meeting.asked(), meeting.answered(answer)


def test_bytes_go_through_untouched_unless_a_fault_changes_them():
    # A field that this version of the messages does not know, as a newer server sends.
    request = search().SerializeToString() + b"\xfa\x7f\x01x"
    answer = b"\xfa\x7f\x01x" + reply().SerializeToString()
    fault = WireFault(frozenset({"Search"}), answer=CUT, name="cut")
    script = Script([fault])
    assert met(script, request, answer) == (request, answer)
    assert script.begin(SERVICE + "Query", request) is None
    assert script.begin("/another.Service/Search", request) is None
    assert script.struck.times["cut"] == 0


def test_a_fault_meets_every_nth_of_its_calls_and_is_counted():
    fault = WireFault(
        frozenset({"Search"}),
        when=Where(load=True),
        every=3,
        answer=BACKWARDS,
        name="reversed",
    )
    script = Script([fault])
    answer = reply().SerializeToString()
    load, other = (search(consistency_level=level).SerializeToString() for level in (2, 0))
    changed = [met(script, one, answer)[1] != answer for one in [load, other] * 6]
    assert [at for at, one in enumerate(changed) if one] == [4, 10]
    assert script.struck.times["reversed"] == 2


def test_a_reply_that_is_an_error_already_is_left_alone():
    error = milvus_pb2.SearchResults()
    error.status.code = 1100
    fault = WireFault(frozenset({"Search"}), answer=answers.failed, name="failed")
    script = Script([fault])
    assert met(script, search().SerializeToString(), error.SerializeToString())[1] == (
        error.SerializeToString()
    )
    assert not script.struck.times["failed"]


def test_a_failed_search_has_a_code_a_reason_and_no_hit():
    message = reply()
    assert answers.failed(Exchange("Search", None, None, message))
    assert message.status.code
    assert message.status.error_code
    assert message.status.reason
    assert not message.results.topks


def test_two_faults_are_done_one_after_the_other():
    faults = [
        WireFault(frozenset({"Search"}), answer=BACKWARDS, name="reversed"),
        WireFault(frozenset({"Search"}), answer=Rearranged(answers.first_everywhere), name="cut"),
    ]
    script = Script(faults)
    answer = met(script, search().SerializeToString(), reply().SerializeToString())[1]
    assert shown(milvus_pb2.SearchResults.FromString(answer)) == [
        [of(3)] * 3,
        [of(2)],
        [of(9)] * 2,
    ]
    assert script.struck.times == {"reversed": 1, "cut": 1}


def test_a_fault_that_breaks_changes_nothing_and_is_told():
    def broken(_):
        raise KeyError("topk")

    fault = WireFault(frozenset({"Search"}), ask=broken, answer=broken, name="broken")
    script = Script([fault])
    request, answer = search().SerializeToString(), reply().SerializeToString()
    assert met(script, request, answer) == (request, answer)
    assert script.struck.failed == {"broken: KeyError('topk')": 2}


@pytest.mark.parametrize("name", FAULTS)
def test_every_wire_fault_can_be_sent_to_the_proxy_and_is_of_methods_that_there_are(name):
    for wire in FAULTS[name].wire:
        one = wire(profile_named("selftest"))
        assert pickle.loads(pickle.dumps(one)).methods == one.methods
        assert one.methods <= {method.name for method in service().methods}
