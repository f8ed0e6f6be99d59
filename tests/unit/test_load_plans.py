"""Plans of a load: what files may say, what is sent for it, and how its answers are judged."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2, schema_pb2
from typer.testing import CliRunner

from validation.cli import app
from validation.datasets.generated import generate
from validation.datasets.ground_truth import exact
from validation.errors import ConfigurationError
from validation.load.arrivals import ramp, replayed
from validation.load.plans import files, found, prepared
from validation.load.plans.model import STANDARD, LoadPlan
from validation.load.plans.prepared import Prepared, prepare, with_tenants, within
from validation.load.replies import Replies, read
from validation.milvus.columns import to_message
from validation.milvus.indexes import index_named
from validation.milvus.wire import Endpoint

HEAD = "schema: milvus-kit/load-plan/1\n"
MIX = "mix: {plain: {kind: search}}\n"
TENANTS = 4
DATA = with_tenants(generate(2_000, 8, queries=40), TENANTS)
CONNECTION: Any = SimpleNamespace(endpoint=Endpoint("here", "127.0.0.1:1"))


def plan_of(mix, **said):
    kinds = {name: {"kind": "search", **one} for name, one in mix.items()}
    data = {"tenants": TENANTS}
    return LoadPlan.model_validate({"name": "mine", "data": data, "mix": kinds, **said})


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", files.presets())
def test_a_preset_is_a_whole_plan_that_names_its_sources(name):
    path = files.preset(name)
    plan = files.load(path)
    assert plan.name == name
    assert plan.about
    assert "# Sources\n" in path.read_text()


def test_a_preset_is_listed_shown_and_may_be_edited(tmp_path):
    listed = CliRunner().invoke(app, ["slo", "--list-presets"])
    assert [line.split()[0] for line in listed.output.splitlines()] == [*files.presets()]
    shown = CliRunner().invoke(app, ["slo", "--show-preset", "streaming"])
    edited = shown.output.replace("weight: 60", "weight: 61")
    assert files.load(written(tmp_path, edited)).searches["searches"].weight == 61


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MIX, "a plan file starts with `schema: milvus-kit/load-plan/1`"),
        (HEAD, "mix: "),
        (HEAD + "mix: {a: {kind: insert}}", "no search is in it"),
        (HEAD + MIX + "speed: 3", "speed: "),
        (HEAD + MIX + "times: [1, 2]", "unknown key times"),
        (HEAD + "mix: {a: {kind: search, fields: [colour]}}", "no such field: colour; there are"),
        (HEAD + "mix: {a: {kind: search, params: {eff: 64}}}", "mix.a.params.eff: "),
        (HEAD + MIX + "index: {kind: HNSW, search: {nprobe: 8}}", "HNSW has no such parameter; "),
        (HEAD + MIX + "index: {kind: HNSW, build: {m: 8}}", "there is M, efConstruction"),
        (HEAD + MIX + "index: {search: {ef: 8}}", "index.kind: say of which index"),
        (HEAD + MIX + "index: {kind: ANNOY}", "index.kind: "),
        (HEAD + "mix: {a: {kind: search, selectivity: 1.5}}", "mix.a.search.selectivity: "),
        (HEAD + "mix: {a: {kind: search, selectivity: 0.0001}}", "down to a thousandth"),
        (HEAD + "mix: {a: {kind: search, top_k: 0}}", "top_k"),
        (HEAD + "mix: {a: {kind: search, weight: 0}}", "weight: "),
        (HEAD + "mix: {a: {kind: search, weight: .inf}}", "weight: "),
        (HEAD + "mix: {a: {kind: search, tenant: true}}", "there are no tenants"),
        (HEAD + "mix: {a: {kind: search, within: 5, selectivity: 0.5}}", "one of selectivity"),
        (HEAD + MIX + "rate: 0", "rate: "),
        (HEAD + MIX + "rate: .nan", "rate: "),
        (HEAD + MIX + "rate: 1e9", "rate: "),
        (HEAD + MIX + "rate: 100\nseconds: 0.01", "seconds: "),
        (HEAD + MIX + "rate: 0.5\nseconds: 3", "1.5 searches are too few to judge a trial by"),
        (HEAD + MIX + "rate: 49\nseconds: 1", "say seconds: 1.02041 or more"),
        (HEAD + MIX + "rate: 0.001", "100 searches at 0.001/s take 100,000 s, more than 3,600 s"),
        (
            HEAD + MIX + "rate: 50_000\nseconds: 60",
            "more than 1,000,000 in a trial: say seconds: 20",
        ),
        (HEAD + MIX + "arrivals: sometimes", "arrivals"),
        (HEAD + MIX + "arrivals: {ramp: [0, 0]}", "a ramp from 0 to 0 sends nothing"),
        (HEAD + MIX + "arrivals: {replay: gone.txt}", "cannot read what is replayed: No such file"),
        (HEAD + MIX + "queries: {choice: zipf, exponent: -1}", "queries.exponent: "),
        (HEAD + MIX + "workers: 0", "workers: "),
        (HEAD + MIX + "rules: {a: {metric: loading.rate, min: 1, unit: rows/s}}", "not judged by"),
        (HEAD + MIX + "rules: {a: {metric: search.errors, max: 0.1, unit: ms}}", "rules.a"),
        (HEAD + MIX + "mix: {}", "stands here twice"),
        (HEAD + "mix: {a: {kind: hybrid}}", "generated rows have no texts; say data.corpus"),
        (
            HEAD + "data: {corpus: true}\nmix: {a: {kind: insert}, b: {kind: search}}",
            "mix.a: of the",
        ),
        (HEAD + "data: {corpus: true, rows: 2000}\n" + MIX, "a corpus has its own rows"),
    ],
)
def test_what_a_plan_cannot_mean_is_named_with_its_key(tmp_path, text, told):
    with pytest.raises(ConfigurationError) as error:
        files.load(written(tmp_path, text))
    assert told in str(error.value)
    assert "mine.yaml" in str(error.value) or "gone.txt" in str(error.value)
    assert "->" in str(error.value)


@pytest.mark.parametrize(
    "lines", [["1"] * 200, ["2", *["1"] * 200], ["1", "2"], ["x"] * 200, ["nan"] * 200]
)
def test_arrivals_that_cannot_be_replayed_are_refused(tmp_path, lines):
    (tmp_path / "times.txt").write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match=r"cannot be replayed|no time"):
        files.load(written(tmp_path, HEAD + MIX + "arrivals: {replay: times.txt}"))


def test_a_plan_is_copied_into_the_run_with_what_it_replays(tmp_path):
    seen = np.cumsum(np.random.default_rng(1).exponential(size=120)) + 1e6
    (tmp_path / "times.txt").write_text("# seen\n" + "\n".join(map(repr, seen.tolist())))
    (run := tmp_path / "run").mkdir()
    first = written(tmp_path, HEAD + MIX + "arrivals: {replay: times.txt}")
    copy = files.load(files.copied(first, run))
    (tmp_path / "times.txt").unlink()
    assert files.load(run / "plan.yaml") == copy
    assert copy.name == "mine"
    assert copy.times == pytest.approx(seen - seen[0])


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "milvus-kit/load-plan/1", "mix": {"plain": {"kind": "search"}}}',
        HEAD + MIX + "...\n",
        HEAD + MIX.rstrip(),
        HEAD + MIX + "name: another\n",
    ],
)
def test_a_plan_is_copied_however_its_file_is_written(tmp_path, text):
    (run := tmp_path / "run").mkdir()
    first = written(tmp_path, text)
    assert files.load(files.copied(first, run)) == files.load(first)


@pytest.mark.parametrize("text", [HEAD + MIX, HEAD + MIX + "speed: 3"])
def test_a_file_whose_name_cannot_be_the_plan_s_is_told_to_say_one(tmp_path, text):
    path = tmp_path / "my_plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="add `name: my-plan`") as error:
        files.load(path)
    assert ("speed: " in str(error.value)) is ("speed" in text)
    path.write_text(HEAD + MIX + "name: my-plan\n")
    assert files.load(path).name == "my-plan"


def test_a_ramp_has_its_rates_and_the_one_that_is_offered_on_average():
    due = ramp(1_000, 10, 0.5, 1.5, seed=3)
    assert len(due) == 10_000
    counts, _ = np.histogram(due, bins=10, range=(0, 10))
    assert counts == pytest.approx(np.linspace(550, 1_450, 10), abs=120)
    assert (np.diff(due) >= 0).all()
    down, _ = np.histogram(ramp(1_000, 10, 2, 0), bins=2, range=(0, 10))
    assert down == pytest.approx([7_500, 2_500], abs=250)
    assert ramp(100, 1, 1, 1).max() <= 1


def test_what_is_replayed_keeps_its_shape_and_has_the_rate_that_is_offered():
    due = replayed([0, 1, 1, 1, 4, 10], 3)
    assert due == pytest.approx(np.array([0, 1, 1, 1, 4, 10]) / 5)
    asked = Prepared(plan_of(mix={"a": {}}, arrivals={"replay": "x"}, times=(0, 1, 4)), ANY, ())
    assert asked.due(6, 99, 0) == pytest.approx([0, 0.125, 0.5])


ANY: Any = None


def test_requests_are_drawn_by_their_weights_and_queries_by_their_popularity():
    mix = {"plain": {"weight": 6, "top_k": {10: 2, 5: 1}}, "new": {"kind": "insert", "weight": 2}}
    plan = plan_of(mix=mix, queries={"choice": "zipf", "exponent": 1.0})
    asked = prepare(CONNECTION, plan, DATA, "mk_x", index_named("FLAT"))
    assert plan.searched == 0.75
    numbers = asked.numbers(40_000, 1)
    assert (numbers == asked.numbers(40_000, 1)).all()
    shares = [
        ((numbers >= one.first) & (numbers < one.first + one.count)).mean()
        for one in asked.variants
    ]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.01)
    popular = np.sort(np.bincount(numbers[numbers < 40], minlength=40))[::-1]
    assert popular[0] / popular[1] == pytest.approx(2, rel=0.1)
    assert len(asked.due(75, 4, 0)) == 400  # changes come on top of 300 searches


def test_each_request_says_what_its_kind_asks():
    mix = {
        "filtered": {"selectivity": 0.1, "fields": ["category"], "params": {"ef": 50}},
        "own": {"tenant": True, "top_k": 100},
        "near": {"within": 3},
        "add": {"kind": "insert", "rows": 3},
        "again": {"kind": "upsert", "rows": 2},
        "remove": {"kind": "delete", "rows": 2},
    }
    asked = prepare(CONNECTION, plan_of(mix=mix), DATA, "mk_x", index_named("HNSW"))
    of = {one.name: one for one in asked.variants}
    sent = asked.requests.requests

    def search(name, at=0):
        request = milvus_pb2.SearchRequest.FromString(sent[of[name].first + at])
        return request, {pair.key: pair.value for pair in request.search_params}

    request, params = search("filtered")
    assert (request.dsl, [*request.output_fields]) == ("bucket < 100", ["category"])
    assert params["topk"] == "10"
    assert '"ef":50' in params["params"]
    assert [search("own", at)[0].dsl for at in (0, 5)] == ["tenant == 0", "tenant == 1"]
    assert '"ef":128' in search("own")[1]["params"]  # never below top_k
    assert '"radius":' in search("near")[1]["params"]
    added = milvus_pb2.InsertRequest.FromString(sent[of["add"].first])
    assert added.num_rows == 3
    removed = milvus_pb2.DeleteRequest.FromString(sent[of["remove"].first])
    assert removed.expr == "id in [2199023255552, 2199023255553]"
    again = milvus_pb2.UpsertRequest.FromString(sent[of["again"].first])
    assert {field.field_name for field in again.fields_data} == {"id", "vector", *DATA.scalars}
    called = {name: asked.requests.method(one.first).rpartition("/")[2] for name, one in of.items()}
    assert called == {
        **dict.fromkeys(["filtered", "own", "near"], "Search"),
        "add": "Insert",
        "again": "Upsert",
        "remove": "Delete",
    }
    assert asked.requests.hits[of["add"].first] == 3
    assert asked.requests.hits[of["remove"].first] == 0


def test_a_hybrid_search_asks_by_vector_and_by_keyword():
    texts = [f"question {number}" for number in range(40)]
    data = dataclasses.replace(DATA, queries=dataclasses.replace(DATA.queries, texts=texts))
    plan = LoadPlan.model_validate(
        {"name": "x", "data": {"corpus": True}, "mix": {"both": {"kind": "hybrid", "top_k": 7}}}
    )
    assert plan.problems() == []
    asked = prepare(CONNECTION, plan, data, "mk_x", index_named("FLAT"))
    request = milvus_pb2.HybridSearchRequest.FromString(asked.requests.requests[3])
    fields = [
        {pair.key: pair.value for pair in one.search_params}["anns_field"]
        for one in request.requests
    ]
    assert fields == ["vector", "sparse"]
    assert b"question 3" in request.requests[1].placeholder_group
    assert asked.requests.method(3).endswith("/HybridSearch")
    replies = [reply([1, 2, 3, 4, 5, 6, 7], [7.0, 6, 5, 4, 3, 2, 1]), reply([1] * 7, [1.0] * 7)]
    seen = read(asked.requests, np.arange(2), ["", ""], replies)
    samples: Any = SimpleNamespace(
        n=2, numbers=np.arange(2), replies=seen, latencies_ms=np.ones(2), failed=np.zeros(2)
    )
    looked_at = found.look(samples, asked)
    assert looked_at.overlap == {}
    assert looked_at.wrong == "1 of 2 answers were wrong (answers.duplicates)"


def test_rows_that_are_inserted_are_nobody_s_neighbours_and_match_no_filter():
    asked = prepare(
        CONNECTION, plan_of(mix={"a": {}, "b": {"kind": "insert"}}), DATA, "x", index_named("FLAT")
    )
    right = asked.variants[0].right
    assert right is not None
    whole = right.dataset
    assert whole.rows == DATA.rows + prepared.WRITES
    both = exact(whole.vectors, whole.queries.vectors, 100, "L2")
    assert (both.rows < DATA.rows).all()
    assert np.asarray(whole.scalars["bucket"])[DATA.rows :].min() == 999


def test_a_radius_lies_between_rows_and_takes_ties_whole():
    truth = exact(DATA.vectors, DATA.queries.vectors, 30, "L2")
    cut, radii = within(truth, 5)
    for at in range(len(radii)):
        inside = (truth.distances[at] < radii[at]).sum()
        assert inside == cut.matches[at]
        assert np.isinf(cut.distances[at, inside:]).all()
    assert np.median(cut.matches) == 5
    tied = DATA.provenance["planted_ties"][0]
    assert cut.matches[tied] in {0, 14}


def test_hits_of_a_range_search_are_looked_at_although_none_is_due():
    asked = prepare(
        CONNECTION, plan_of(mix={"near": {"within": 3}}), DATA, "x", index_named("HNSW")
    )
    assert set(asked.requests.hits) == {0}
    seen = read(asked.requests, np.arange(1), [""], [reply([5, 6], [0.1, 0.2])])
    assert seen.answers.of(0) == [5, 6]
    assert seen.failures == [""]


def test_a_trial_is_no_longer_than_its_replies_can_be_kept():
    plan = plan_of(mix={"a": {}})
    assert plan.trial_seconds(500, 3.0) == 3.0
    assert plan.trial_seconds(20, 3.0) == 5.0  # a hundred searches
    assert plan.trial_seconds(100_000, 3_600) == 10.0


def test_a_trial_at_a_low_rate_is_longer_than_its_plan_says_so_that_it_says_something():
    plan = plan_of(mix={"a": {}}, seconds=2)
    assert plan.trial_seconds(500, 3.0) == 2.0
    assert plan.trial_seconds(10, 3.0) == 5.0  # fifty searches


def reply(ids, scores, fields=()):
    data = schema_pb2.SearchResultData(num_queries=1, top_k=10, scores=scores, topks=[len(ids)])
    data.ids.int_id.data.extend(ids)
    data.fields_data.extend(to_message(name, values) for name, values in fields)
    return milvus_pb2.SearchResults(results=data).SerializeToString()


MIX_OF_ALL = {
    "plain": {"top_k": {10: 1, 5: 1}, "fields": ["category"]},
    "filtered": {"selectivity": 0.5},
    "near": {"within": 4, "top_k": 10},
}
ASKED = prepare(CONNECTION, plan_of(mix=MIX_OF_ALL), DATA, "mk_x", index_named("FLAT"))


def right_reply(number, *, at=None):
    """Return what is right for a request; another query's if ``at`` says which."""
    one = next(one for one in ASKED.variants if one.first <= number < one.first + one.count)
    assert one.right is not None
    assert one.right.truth is not None
    query, truth = number - one.first if at is None else at, one.right.truth
    rows = [row for row in truth.rows[query][: one.k] if row >= 0]
    fields = [("category", [DATA.scalars["category"][row] for row in rows])] if one.fields else []
    return rows, truth.distances[query][: len(rows)], fields


def looked(change=None):
    """Return what is found of one right reply to every request, the 7th of each kind changed."""
    replies = []
    for number in range(len(ASKED.requests.requests)):
        parts = right_reply(number)
        if change is not None and number % 40 == 7:
            parts = change(number, *parts)
        replies.append(reply(*parts))
    numbers = np.arange(len(replies))
    seen: Replies = read(ASKED.requests, numbers, [""] * len(replies), replies)
    samples: Any = SimpleNamespace(
        n=len(replies),
        numbers=numbers,
        replies=seen,
        latencies_ms=np.where(np.array(seen.failures) == "", 5.0, np.inf),
        failed=(np.array(seen.failures) != "").astype(float),
    )
    return found.look(samples, ASKED)


def test_right_answers_of_every_kind_are_right():
    seen = looked()
    assert seen.wrong == ""
    assert {name: set(share) for name, share in seen.overlap.items()} == {
        name: {1.0} for name in MIX_OF_ALL
    }
    assert seen.searched.all()
    assert seen.figures["plain"] == {"requests": 80, "failed": 0, "p50": 5, "p99": 5, "recall": 1}


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        (
            lambda _, ids, far, f: ([ids[0], *ids[:-1]], [far[0], *far[:-1]], f),
            "answers.duplicates",
        ),
        (lambda _, ids, far, f: (ids[::-1], far[::-1], f), "answers.disordered"),
        (lambda _, ids, far, f: (ids, far * 2 + 1, f), "answers.wrong_scores"),
        (lambda n, *_: right_reply(n, at=8), "answers.foreign"),
        (lambda _, ids, far, f: ([*ids[:-1], 2**50], far, f), "answers.unknown"),
    ],
)
def test_a_wrong_answer_of_any_kind_is_noticed(change, metric):
    assert metric in looked(change).wrong


def test_a_hit_outside_the_filter_or_beyond_the_radius_or_with_another_s_field_is_noticed():
    outside = np.flatnonzero(np.asarray(DATA.scalars["bucket"]) >= 500)

    def other_rows(number, ids, far, fields):
        name = next(o.name for o in ASKED.variants if o.first <= number < o.first + o.count)
        query = number % 40
        if name == "plain":
            return ids, far, [(key, [*values[1:], values[0]]) for key, values in fields]
        if name == "filtered":
            row = int(outside[0])
        else:
            row = int(exact(DATA.vectors, DATA.queries.vectors[query : query + 1], 30).rows[0, 29])
        exactly = float(
            np.square(DATA.vectors[row].astype(float) - DATA.queries.vectors[query]).sum()
        )
        return [*ids, row][-10:], [*far, exactly][-10:], fields

    seen = looked(other_rows)
    assert "filter.violations" in seen.wrong
    assert "answers.wrong_fields" in seen.wrong
    assert seen.findings is not None
    assert (seen.findings.counts["filter.violations"] > 0).sum() == 2


@pytest.mark.parametrize("kind", [0, 2])
def test_a_server_that_answers_nothing_is_looked_at_without_a_hitch(kind):
    one = ASKED.variants[kind]
    numbers = np.arange(one.first, one.first + 5)
    seen = read(ASKED.requests, numbers, ["gRPC UNAVAILABLE"] * 5, [b""] * 5)
    samples: Any = SimpleNamespace(
        n=5, numbers=numbers, replies=seen, latencies_ms=np.full(5, np.inf), failed=np.ones(5)
    )
    looked_at = found.look(samples, ASKED)
    assert looked_at.findings is None
    assert looked_at.figures[one.name]["failed"] == 5
    # The others were not asked, which is no answer missing.
    assert {name: share.size for name, share in looked_at.overlap.items()} == {one.name: 0}
    assert looked_at.figures[one.name]["recall"] is None


def test_a_kind_of_whose_queries_none_has_anything_to_find_says_nothing_of_recall():
    near = next(one for one in ASKED.variants if one.name == "near")
    assert near.right is not None
    assert near.right.truth is not None
    nothing = np.flatnonzero(near.right.truth.matches == 0)
    numbers = near.first + nothing
    replies = [reply([], []) for _ in numbers]
    seen = read(ASKED.requests, numbers, [""] * len(numbers), replies)
    count = len(numbers)
    samples: Any = SimpleNamespace(
        n=count, numbers=numbers, replies=seen, latencies_ms=np.ones(count), failed=np.zeros(count)
    )
    looked_at = found.look(samples, ASKED)
    assert count
    assert looked_at.overlap == {}
    assert "recall" not in looked_at.figures["near"]
    assert looked_at.wrong == ""


def test_hits_that_are_missing_are_failures_of_their_kind():
    seen = looked(lambda _, ids, far, f: (ids[:3], far[:3], [(k, v[:3]) for k, v in f]))
    assert seen.figures["plain"]["failed"] == 2
    assert seen.figures["filtered"]["failed"] == 1


def test_changes_that_were_not_acknowledged_whole_are_failures():
    plan = plan_of(mix={"a": {}, "add": {"kind": "insert", "rows": 3}, "gone": {"kind": "delete"}})
    asked = prepare(CONNECTION, plan, DATA, "mk_x", index_named("FLAT"))
    add, gone = (one.first for one in asked.variants[1:])
    acknowledged = [milvus_pb2.MutationResult(insert_cnt=count) for count in (3, 2)]
    acknowledged.append(milvus_pb2.MutationResult())
    acknowledged.append(milvus_pb2.MutationResult(status={"code": 100, "reason": "no"}))  # type: ignore[arg-type]
    numbers = np.array([add, add + 1, gone, gone])
    seen = read(
        asked.requests, numbers, [""] * 4, [one.SerializeToString() for one in acknowledged]
    )
    assert seen.failures == ["", "incomplete: 2 of 3 rows changed", "", "Milvus code 100: no"]
    assert not seen.answered.any()


def test_what_is_asked_without_a_plan_is_plain_searches_for_ten():
    assert STANDARD.problems() == []
    assert [one.top_k for one in STANDARD.searches.values()] == [10]
