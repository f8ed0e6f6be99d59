import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.errors import MeasurementError
from validation.history import checker
from validation.history.checker import check
from validation.history.record import EVERYTHING, Kind, Level, Recorder, Status, load

BOUNDED = 5
WRITER, READER = 1, 2


class Told:
    """A history told in a few words; every operation takes from one tick to the next."""

    def __init__(self):
        self.recorder = Recorder()

    def write(self, kind, key, version, at, until=None, **more):
        until = at + 1 if until is None else until
        self.recorder.write(
            kind, [key], [version], process=WRITER, invoked=at, completed=until, **more
        )
        return self

    def insert(self, key, version, at, until=None, **more):
        return self.write(Kind.INSERT, key, version, at, until, **more)

    def upsert(self, key, version, at, until=None, **more):
        return self.write(Kind.UPSERT, key, version, at, until, **more)

    def delete(self, key, version, at, until=None, **more):
        return self.write(Kind.DELETE, key, version, at, until, **more)

    def get(self, key, at, *versions, until=None, level=Level.STRONG, process=READER, **more):
        self.recorder.read(
            level,
            process=process,
            invoked=at,
            completed=at + 1 if until is None else until,
            keys=[key] * len(versions),
            versions=versions,
            asked=[key],
            **more,
        )
        return self

    def scan(self, at, rows, *, until=None, level=Level.STRONG, scope=EVERYTHING):
        keys, versions = list(rows), list(rows.values())
        until = at + 1 if until is None else until
        self.recorder.read(
            level,
            process=READER,
            invoked=at,
            completed=until,
            keys=keys,
            versions=versions,
            scope=scope,
        )
        return self

    def count(self, at, number, *, until=None, level=Level.STRONG, scope=EVERYTHING):
        until = at + 1 if until is None else until
        self.recorder.read(
            level, process=READER, invoked=at, completed=until, count=number, scope=scope
        )
        return self

    def broken(self, **more):
        found = check(self.recorder.history(), bounded_ns=BOUNDED, **more)
        return {kind: number for kind, number in found.counts.items() if number}


def told():
    return Told()


def test_a_history_of_nothing_breaks_nothing():
    assert told().broken() == {}


def test_an_acknowledged_row_that_is_never_seen_is_lost():
    assert told().insert(7, 1, 0).get(7, 5).get(7, 9).broken() == {"lost": 1}


def test_an_acknowledged_row_that_is_seen_late_is_stale():
    assert told().insert(7, 1, 0).get(7, 5).get(7, 9, 1).broken() == {"stale": 1}


def test_a_row_may_be_missing_while_it_is_written():
    assert told().insert(7, 1, 0, 10).get(7, 5).get(7, 12, 1).broken() == {}


def test_a_row_that_one_read_saw_must_be_seen_by_the_next_although_it_is_not_acknowledged():
    history = told().insert(7, 1, 0, 10).get(7, 2, 1).get(7, 5).get(7, 12, 1)
    assert history.broken() == {"stale": 1}


def test_the_old_value_after_an_acknowledged_upsert_is_stale_or_lost():
    first = told().insert(7, 1, 0).upsert(7, 2, 2)
    assert first.get(7, 5, 1).broken() == {"lost": 1}
    assert first.get(7, 8, 2).broken() == {"stale": 1}


def test_an_old_value_while_the_row_is_deleted_is_stale_and_not_lost():
    history = told().insert(7, 1, 0).upsert(7, 2, 2).get(7, 5, 2).delete(7, 3, 8, 12)
    assert history.get(7, 7, 1, until=10).broken() == {"stale": 1}


def test_a_row_that_is_back_after_its_delete_is_resurrected():
    assert told().insert(7, 1, 0).delete(7, 2, 2).get(7, 4, 1).broken() == {"resurrected": 1}


def test_a_row_may_be_seen_while_it_is_deleted():
    assert told().insert(7, 1, 0).delete(7, 2, 2, 9).get(7, 4, 1).get(7, 6).broken() == {}


def test_a_key_twice_in_one_answer_is_a_duplicate():
    assert told().insert(7, 1, 0).get(7, 4, 1, 1).broken() == {"duplicate": 1}


def test_two_states_of_a_key_in_one_answer_are_a_duplicate():
    history = told().insert(7, 1, 0).upsert(7, 2, 2, 9).get(7, 4, 1, 2)
    assert history.broken() == {"duplicate": 1}


def test_other_fields_than_those_written_are_a_wrong_value():
    assert told().insert(7, 1, 0).get(7, 4, 1, genuine=[False]).broken() == {"wrong value": 1}


def test_a_key_or_version_that_nobody_wrote_is_a_phantom():
    history = told().insert(7, 1, 0)
    assert history.scan(4, {7: 1, 8: 1}).broken() == {"phantom": 1}
    assert told().insert(7, 1, 0).scan(4, {7: 5}).broken() == {"phantom": 1, "lost": 1}


def test_a_row_that_is_seen_before_it_was_sent_is_a_phantom():
    assert told().insert(7, 1, 10).get(7, 4, 1).broken() == {"phantom": 1}


def test_a_write_that_was_refused_and_is_seen_is_a_phantom():
    assert told().insert(7, 1, 0, status=Status.FAILED).get(7, 4, 1).broken() == {"phantom": 1}


def test_an_unknown_write_may_be_there_or_not_and_stays_once_it_was_seen():
    unknown = told().insert(7, 1, 0, status=Status.UNKNOWN)
    assert unknown.get(7, 4).get(7, 6, 1).broken() == {}
    assert unknown.get(7, 9).broken() == {"lost": 1}


def test_an_unknown_delete_allows_both_for_ever():
    history = told().insert(7, 1, 0).delete(7, 2, 2, status=Status.UNKNOWN)
    assert history.get(7, 5, 1).get(7, 8).get(7, 11, 1).broken() == {}


def test_a_read_without_an_answer_proves_nothing():
    assert told().insert(7, 1, 0).get(7, 4, status=Status.UNKNOWN).broken() == {}


@pytest.mark.parametrize(
    ("level", "process", "soon", "late"),
    [
        (Level.STRONG, READER, {"stale": 1}, {"stale": 1}),
        (Level.BOUNDED, READER, {}, {"stale": 1}),
        (Level.SESSION, READER, {}, {}),
        (Level.SESSION, WRITER, {"stale": 1}, {"stale": 1}),
        (Level.EVENTUAL, WRITER, {}, {}),
    ],
)
def test_each_level_is_held_to_what_it_promises_and_no_more(level, process, soon, late):
    for at, expected in ((3, soon), (7, late)):
        history = told().insert(7, 1, 0).get(7, at, level=level, process=process)
        assert history.get(7, 20, 1).broken() == expected


def test_a_phantom_is_one_at_every_level():
    for level in Level:
        assert told().insert(7, 1, 0).get(8, 3, 1, level=level).broken() == {"phantom": 1}


def test_a_scan_holds_every_key_of_its_scope_and_need_not_hold_others():
    history = told()
    for key in range(4):
        history.insert(key, 1, key, group=key % 2)
    assert history.scan(9, {0: 1, 2: 1}, scope=0).broken() == {}
    assert history.scan(11, {1: 1}, scope=1).broken() == {"lost": 1}
    assert history.scan(13, {0: 1, 1: 1, 2: 1, 3: 1}).broken() == {"stale": 1}


def test_a_count_lies_within_what_was_under_way():
    history = told().insert(1, 1, 0).insert(2, 1, 0).insert(3, 1, 5, 9).delete(1, 2, 6, 9)
    assert history.count(7, 1).count(7, 2).count(7, 3).broken() == {}
    assert history.count(7, 4).broken() == {"miscounted": 1}
    assert history.count(7, 0).broken() == {"miscounted": 2}
    assert history.count(12, 2).broken() == {"miscounted": 2}
    assert history.count(12, 3).broken() == {"miscounted": 3}


def test_an_upsert_of_a_row_that_is_there_adds_none():
    history = told().insert(1, 1, 0).upsert(1, 2, 2, 9)
    assert history.count(5, 1).broken() == {}
    assert history.count(5, 2).broken() == {"miscounted": 1}


def test_clocks_that_differ_excuse_what_they_may_have_caused():
    history = told().insert(7, 1, 0, 10).get(7, 12).get(7, 30, 1)
    assert history.broken() == {"stale": 1}
    assert history.broken(clocks_ns=4) == {}


def test_a_finding_says_which_key_which_read_and_why():
    history = told().insert(7, 1, 0).delete(7, 2, 2).get(7, 4, 1).recorder.history()
    (example,) = check(history, bounded_ns=0).examples["resurrected"]
    assert (example["key"], example["read"], example["seen"]) == (7, 0, "version 1")
    assert "delete (version 2)" in example["why"]


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (lambda h: h.insert(7, 1, 5, 3), "ended before it began"),
        (lambda h: h.insert(7, 1, 0).insert(7, 1, 4), "do not grow"),
        (lambda h: h.insert(7, 1, 0, 9).upsert(7, 2, 4), "under way at once"),
        (lambda h: h.get(7, 5, until=3), "read ended before"),
        (lambda h: h.insert(7, 1, 0).upsert(7, 2, 4, group=3), "group"),
    ],
)
def test_a_history_that_contradicts_itself_proves_nothing(break_it, word):
    with pytest.raises(MeasurementError, match=word):
        break_it(told()).broken()


def test_a_history_is_read_back_as_it_was_and_an_edited_one_is_refused(tmp_path):
    history = told().insert(7, 1, 0).get(7, 4, 1).recorder.history()
    history.save(tmp_path / "history.npz")
    again = load(tmp_path / "history.npz")
    assert check(again, bounded_ns=0) == check(history, bounded_ns=0)

    with np.load(tmp_path / "history.npz") as found:
        columns = dict(found)
    columns["rows.version"] = columns["rows.version"] + 1
    np.savez(tmp_path / "edited.npz", **columns)
    with pytest.raises(MeasurementError, match="not those that were written"):
        load(tmp_path / "edited.npz")
    whole = (tmp_path / "history.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MeasurementError, match="cannot be read"):
        load(tmp_path / "short.npz")


def allowed_states(writes, invoked, completed):
    """The states a strong read may see of one key, by trying all orders that times allow."""
    floor = -1
    for place, (_, _, sent, ended) in enumerate(writes):
        if ended <= invoked and sent <= invoked:
            floor = place
    ceiling = max([floor, *(at for at, one in enumerate(writes) if one[2] <= completed)])
    states = {None} if floor < 0 else set()
    for kind, version, *_ in writes[max(floor, 0) : ceiling + 1]:
        states.add(None if kind is Kind.DELETE else version)
    return states


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_single_reads_are_judged_as_by_trying_every_allowed_state(seed):
    draw = random.Random(seed)
    history, time, writes = told(), 0, []
    for version in range(1, draw.randint(2, 5)):
        sent = time + draw.randint(0, 3)
        ended = sent + draw.randint(0, 4)
        kind = draw.choice([Kind.UPSERT, Kind.UPSERT, Kind.DELETE])
        history.write(kind, 7, version, sent, ended)
        writes.append((kind, version, sent, ended))
        time = ended
    invoked = draw.randint(0, time + 2)
    completed = invoked + draw.randint(0, 3)
    seen = draw.choice([None, *(version for _, version, *_ in writes)])
    rows = [] if seen is None else [seen]
    history.get(7, invoked, *rows, until=completed)
    fine = seen in allowed_states(writes, invoked, completed)
    assert (history.broken() == {}) is fine


class Store:
    """A right store: each operation takes effect at one moment between its two ends."""

    def __init__(self, seed):
        self.draw, self.recorder, self.rows, self.time = random.Random(seed), Recorder(), {}, 0
        self.versions = {}

    def tick(self):
        self.time += self.draw.randint(1, 5)
        return self.time

    def step(self):
        begun, key = self.tick(), self.draw.randrange(20)
        chance = self.draw.random()
        self.tick()
        if chance < 0.5:
            kind = self.draw.choice([Kind.UPSERT, Kind.UPSERT, Kind.DELETE])
            self.write(kind, key, begun)
        elif chance < 0.8:
            rows = [(key, self.rows[key])] if key in self.rows else []
            self.read(begun, rows, asked=[key])
        elif chance < 0.9:
            self.read(begun, list(self.rows.items()), scope=EVERYTHING)
        else:
            self.read(begun, [], scope=EVERYTHING, count=len(self.rows))

    def write(self, kind, key, begun):
        version = self.versions[key] = self.versions.get(key, 0) + 1
        status = self.draw.choices(list(Status), [8, 1, 1])[0]
        if status is Status.OK or (status is Status.UNKNOWN and self.draw.random() < 0.5):
            if kind is Kind.DELETE:
                self.rows.pop(key, None)
            else:
                self.rows[key] = version
        self.recorder.write(
            kind,
            [key],
            [version],
            process=key,
            invoked=begun,
            completed=self.tick(),
            status=status,
        )

    def read(self, begun, rows, **more):
        level = self.draw.choice(list(Level))
        keys, versions = [key for key, _ in rows], [version for _, version in rows]
        end = self.tick()
        self.recorder.read(
            level,
            process=99,
            invoked=begun,
            completed=end,
            keys=keys,
            versions=versions,
            **more,
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_a_right_store_is_never_blamed(seed):
    store = Store(seed)
    for _ in range(300):
        store.step()
    found = check(store.recorder.history(), bounded_ns=0)
    assert not any(found.counts.values()), found.examples


def test_every_kind_of_finding_is_told_in_these_tests():
    assert set(checker.KINDS) == {
        *("lost", "stale", "resurrected", "duplicate", "wrong value", "phantom", "miscounted")
    }
