import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.datasets.generated import generate
from validation.milvus import manifest
from validation.milvus.columns import rows_of
from validation.milvus.schema import columns

DATASET = generate(200, 8, queries=3)
SENT = manifest.sent(DATASET)


def read_back(changes=None, *, rows=None, counted=None):
    """The manifest of rows as a server might return them: other order, some of them altered."""
    held = dict(columns(DATASET)) | (changes or {})
    order = np.random.default_rng(3).permutation(200) if rows is None else np.asarray(rows)
    page = {name: rows_of(values, order) for name, values in held.items()}
    parts = [
        manifest.hashed({name: rows_of(values, part) for name, values in page.items()})
        for part in (slice(0, 77), slice(77, None))
    ]
    return manifest._manifest(parts, counted=200 if counted is None else counted)


def altered(name, row, value):
    values = columns(DATASET)[name]
    copy = values.copy() if isinstance(values, np.ndarray) else list(values)
    copy[row] = value
    return {name: copy}


def test_the_same_rows_in_any_order_and_paging_are_no_difference():
    found = manifest.compare(SENT, read_back())
    assert found.none
    assert found.examples == {}
    assert read_back().digest == SENT.digest


def test_a_dropped_row_is_missing():
    found = manifest.compare(SENT, read_back(rows=[row for row in range(200) if row != 42]))
    assert (found.missing, found.unexpected, found.changed) == (1, 0, 0)
    assert found.examples == {"missing": [42]}


def test_a_doubled_row_is_unexpected_although_its_content_is_right():
    found = manifest.compare(SENT, read_back(rows=[*range(200), 7, 7]))
    assert (found.missing, found.unexpected, found.changed) == (0, 2, 0)
    assert found.examples == {"unexpected": [7, 7]}


@pytest.mark.parametrize("row", [0, 199])
def test_a_row_nobody_sent_is_unexpected_and_the_one_it_replaced_is_missing(row):
    found = manifest.compare(SENT, read_back(altered("id", row, 10_000)))
    assert (found.missing, found.unexpected, found.changed) == (1, 1, 0)
    assert found.examples == {"missing": [row], "unexpected": [10_000]}


@pytest.mark.parametrize(
    "change",
    [
        altered("vector", (5, 3), np.nextafter(DATASET.vectors[5, 3], np.float32(9))),
        altered("bucket", 5, 1_001),
        altered("category", 5, "Report"),
        altered("active", 5, not DATASET.scalars["active"][5]),
    ],
    ids=["one bit of a vector", "an integer", "the case of a letter", "a bool"],
)
def test_a_changed_value_is_a_changed_row(change):
    found = manifest.compare(SENT, read_back(change))
    assert (found.missing, found.unexpected, found.changed) == (0, 0, 1)
    assert found.examples == {"changed": [5]}


def test_two_rows_that_swapped_their_vectors_are_both_changed():
    vectors = DATASET.vectors.copy()
    vectors[[3, 4]] = vectors[[4, 3]]
    assert manifest.compare(SENT, read_back({"vector": vectors})).changed == 2


@pytest.mark.parametrize("counted", [190, 210])
def test_a_stale_count_is_an_error_of_its_own(counted):
    found = manifest.compare(SENT, read_back(counted=counted))
    assert found.row_count_error == 10
    assert (found.missing, found.unexpected, found.changed) == (0, 0, 0)
    assert not found.none


def test_an_empty_collection_misses_everything():
    found = manifest.compare(SENT, manifest._manifest([], counted=0))
    assert (found.row_count_error, found.missing) == (200, 200)
    assert len(found.examples["missing"]) == manifest.EXAMPLES


def test_strings_that_run_into_each_other_are_told_apart():
    ids = np.arange(2)
    one = manifest.hashed({"id": ids, "a": ["ab", "x"], "b": ["c", "y"]})[1]
    other = manifest.hashed({"id": ids, "a": ["a", "x"], "b": ["bc", "y"]})[1]
    assert (one[0] != other[0]).any()
    assert (one[1] == other[1]).all()


def test_string_keys_are_compared_as_well():
    def made(keys):
        return manifest._manifest([manifest.hashed({"id": keys})], counted=len(keys))

    found = manifest.compare(made(["b", "a", "ü"]), made(["a", "c", "ü"]))
    assert found.examples == {"missing": ["b"], "unexpected": ["c"]}
    assert found.changed == 0


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=50))
def test_the_digest_is_the_sum_of_the_hashes_modulo_2_to_the_128(hashes):
    held = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2)
    digest = manifest.Manifest(np.arange(len(hashes)), held, len(hashes)).digest
    assert int(digest, 16) == sum(int.from_bytes(one, "little") for one in hashes) % 2**128
