"""What `recall` asks, keeps and says; the measuring itself is tested on real servers."""

import dataclasses
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from validation.answers.model import Answers
from validation.errors import DatasetError, ExitCode, UsageError
from validation.milvus.reading import Range, Table
from validation.recall import rows, telling
from validation.recall.asking import without
from validation.recall.comparing import Missed, Point
from validation.recall.measure import Measured
from validation.recall.plan import Plan, plan_of, sweep_of, vectors_in

OPTIONS = {
    "k": 10,
    "params": (),
    "sweep": None,
    "condition": "",
    "fields": (),
    "want": None,
    "seed": 1,
}


def test_options_become_a_plan():
    plan = plan_of("50", **{**OPTIONS, "params": ["ef=64", "radius=0.5"], "sweep": "ef=16,64,128"})
    assert plan.queries == 50
    assert plan.params == {"ef": 64, "radius": 0.5}
    points = plan.points("HNSW", {})
    assert points[0] == {"ef": 64, "radius": 0.5}
    assert [one["ef"] for one in points] == [64, 16, 128]  # what was given is not asked twice


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 16_384},
        {"want": 0},
        {"want": 95},
        {"params": ["ef"]},
        {"params": ["=64"]},
        {"sweep": "ef"},
    ],
)
def test_options_that_cannot_be_used_are_refused(changes):
    with pytest.raises(UsageError):
        plan_of("50", **{**OPTIONS, **changes})


def test_too_many_rows_cannot_be_asked_with():
    with pytest.raises(UsageError, match="10,000"):
        plan_of("1000000", **OPTIONS)


@pytest.mark.parametrize(
    ("index", "build", "k", "sweep"),
    [
        ("HNSW", {}, 10, ("ef", 16, 1024)),
        ("HNSW_SQ", {}, 100, ("ef", 128, 8192)),
        ("DISKANN", {}, 16, ("search_list", 32, 2048)),
        ("IVF_FLAT", {"nlist": "1024"}, 10, ("nprobe", 1, 256)),
        ("GPU_IVF_PQ", {"nlist": 4}, 10, ("nprobe", 1, 1)),
        ("GPU_CAGRA", {}, 10, ("itopk_size", 32, 1024)),
    ],
)
def test_the_sweep_goes_from_cheap_to_dear(index, build, k, sweep):
    name, values = sweep_of(index, build, k)
    assert (name, values[0], values[-1]) == sweep
    assert list(values) == sorted(values)


def test_exhaustive_search_has_nothing_to_sweep():
    assert Plan().points("FLAT", {}) == [{}]
    assert Plan(sweep=("", ())).points("HNSW", {}) == [{}]


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3)), np.zeros(4), np.zeros((0, 4)), np.zeros((2, 4), dtype=int)]
)
def test_a_file_of_other_vectors_is_refused(tmp_path, array):
    np.save(tmp_path / "q.npy", array)
    with pytest.raises(DatasetError, match="4 dimensions"):
        vectors_in(tmp_path / "q.npy", 4)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"q\.npy: .*No such file"):
        vectors_in(tmp_path / "q.npy", 4)


# Reading


class Pages(Table):
    """Keys in pages, as a server returns them; it stands in place of a connection."""

    def pages(self, part, after=None):
        assert part == Range()
        assert after is None
        found: Any = self.connection
        return iter([{"id": found[at : at + self.page]} for at in range(0, len(found), self.page)])


def pages_of(keys, page):
    return Pages(keys, "own", "id", text_keys=False, columns=("id",), page=page)


def test_the_draw_is_the_same_for_a_seed_and_as_likely_for_every_row():
    keys = np.arange(1_000)
    drawn = [rows.keys(pages_of(keys, 37), every=50, sample=20, seed=3).sample for _ in range(2)]
    assert drawn[0].tolist() == drawn[1].tolist()
    assert len(set(drawn[0].tolist())) == 20
    often = np.zeros(1_000)
    for seed in range(400):
        often[rows.keys(pages_of(keys, 137), every=50, sample=50, seed=seed).sample] += 1
    # Each is drawn 20 times in the mean; thirds of the collection alike, within five deviations.
    thirds = often[:999].reshape(3, 333).sum(axis=1) / 333
    assert np.abs(thirds - 20).max() < 5 * np.sqrt(20 / 333)


def test_between_two_cuts_lie_as_many_rows_as_were_asked_for():
    keys = np.arange(1_000) * 3
    known = rows.keys(pages_of(keys, 64), every=99, sample=5, seed=1)
    assert known.count == 1_000
    assert known.cuts == keys[99::99].tolist()


def test_fewer_rows_than_wanted_are_all_drawn():
    assert sorted(rows.keys(pages_of(np.arange(7), 3), every=2, sample=9, seed=1).sample) == [
        *range(7)
    ]


# Answers without the row that asks


def test_a_row_is_left_out_of_its_own_answer_wherever_it_stands():
    found = Answers(
        np.array([[5, 6, 7], [8, 9, 6], [6, 5, -1], [1, 2, 3]]),
        np.array([[0, 1, 2], [0, 1, 2], [0, 1, np.nan], [0, 1, 2.0]]),
        np.array([3, 3, 2, 3]),
        {"year": np.array([[50, 60, 70], [80, 90, 60], [60, 50, None], [1, 2, 3]], dtype=object)},
    )
    kept = without(found, [5, 6, 6, None], 2)
    assert kept.ids.tolist() == [[6, 7], [8, 9], [5, -1], [1, 2]]
    assert kept.found.tolist() == [2, 2, 1, 2]
    assert kept.fields["year"].tolist() == [["60", "70"], ["80", "90"], ["50", None], ["1", "2"]]
    np.testing.assert_array_equal(kept.distances[2], [1, np.nan])


# What is said


def point(share, **params):
    return Point(params, overlap=np.full(200, share))


def measured(*points, want=0.9, counted=(500, 500), keys=500, read=500, queries=200):
    endpoint = SimpleNamespace(name="http://here")
    connection = SimpleNamespace(endpoint=endpoint, server_version="v2.5.0")
    subject = SimpleNamespace(
        connection=connection, name="own", vector="emb", dim=4, metric="L2", index="HNSW", build={}
    )
    return Measured(subject, Plan(want=want), counted, keys, read, queries, points)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("share", "want", "code"),
    [
        (1.0, 0.98, ExitCode.PASS),
        (1.0, 0.99, ExitCode.INCONCLUSIVE),
        (0.5, 0.9, ExitCode.FAIL),
        (0.9, 0.9, ExitCode.INCONCLUSIVE),
        (0.1, None, ExitCode.PASS),
        (np.nan, None, ExitCode.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(share, want, code):
    assert telling.verdict(measured(point(share, ef=64), want=want)) is code


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counted": (500, 501)}, "changed meanwhile: 500 rows before, 501 after"),
        ({"keys": 499}, "counts 500 rows and returns 499 keys"),
        ({"read": 420}, "counts 500 rows and returns 420 rows"),
        ({"queries": 0}, "no rows to ask with"),
    ],
)
def test_rows_that_were_lost_or_changed_leave_no_figure_and_never_a_pass(changes, said):
    found = measured(point(1.0, ef=64), want=0.5, **changes)
    assert said in found.not_measured
    assert telling.verdict(found) is ExitCode.INCONCLUSIVE
    assert telling.document(found)["points"] == []
    assert telling.cheapest(found) is None
    assert "recall@10" not in shown(found)


def test_the_cheapest_that_holds_is_told_apart_from_what_was_given():
    sweep = [point(0.7, ef=16), point(0.99, ef=32), point(1.0, ef=128)]
    best = telling.cheapest(measured(point(1.0, ef=64), *sweep))
    assert best is not None
    assert best.params == {"ef": 32}
    best = telling.cheapest(measured(point(1.0, ef=20), *sweep))
    assert best is not None
    assert best.params == {"ef": 20}
    assert telling.cheapest(measured(point(0.8, ef=64), point(0.9, ef=90))) is None


@pytest.mark.parametrize("want", [None, 0.5])
def test_answers_that_are_wrong_otherwise_are_never_a_pass(want):
    wrong = dataclasses.replace(point(1.0, ef=64), wrong={"answers.wrong_scores": 1})
    found = measured(wrong, point(1.0, ef=128), want=want)
    assert telling.verdict(found) is ExitCode.FAIL
    assert "its answers are wrong" in shown(found)
    best = telling.cheapest(found)
    assert best is None if want is None else best is not None and best.params == {"ef": 128}


def test_words_are_swept_in_the_order_given():
    found = measured(point(0.99, mode="b"), point(0.7, mode="a"), point(1.0, mode="c"))
    best = telling.cheapest(found)
    assert best is not None
    assert best.params == {"mode": "c"}


def test_a_recall_that_so_few_queries_cannot_prove_is_said():
    assert "200 queries prove 0.981 at most" in shown(measured(point(1.0, ef=64), want=0.99))


def test_parameters_that_the_server_refuses_are_not_measured():
    refused = Point({"ef": 4}, refused="ef should be larger than k")
    found = measured(point(1.0, ef=64), refused)
    assert "ef should be larger than k" in shown(found)
    assert telling.document(found)["points"][1]["recall"] is None
    assert telling.verdict(measured(refused)) is ExitCode.INCONCLUSIVE


def test_the_first_missed_neighbours_are_shown_and_all_are_in_the_document():
    missed = tuple(Missed("q", key, 1 + key % 10, 0.5) for key in range(25))
    one = dataclasses.replace(point(0.9, ef=64), missed=missed)
    assert "15 more" in shown(measured(one))
    assert len(telling.document(measured(one))["points"][0]["missed"]) == 25


def shown(found):
    out = io.StringIO()
    telling.show(found, Console(file=out, width=120))
    return out.getvalue()
