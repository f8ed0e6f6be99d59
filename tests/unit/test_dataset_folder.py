"""A folder is read as it is written, and every way it can be wrong is said by name."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from validation.cli.corpus import app
from validation.datasets.folder import load_folder
from validation.datasets.manifest import MANIFEST, write_manifest
from validation.errors import DatasetError

FILES = ("corpus.jsonl", "queries.jsonl", "qrels.tsv", "corpus.npy", "queries.npy")

CORPUS = [
    {
        "_id": "p1",
        "title": "Disk replacement",
        "text": "Pull the amber sled.",
        "metadata": {"department": "storage", "access_level": 1, "codes": ["DS-11", "E-7"]},
    },
    {
        "_id": "p2",
        "title": "Annual leave",
        "text": "Ask your lead two weeks ahead.",
        "metadata": {"department": "hr", "access_level": 0, "codes": []},
    },
    {
        "_id": "p3",
        "title": "",
        "text": "Für Gäste gilt: Ausweis sichtbar tragen.",
        "metadata": {"department": "security", "access_level": 2, "codes": []},
    },
]
QUERIES = [
    {"_id": "q1", "text": "swap a broken drive", "sort": "paraphrase"},
    {
        "_id": "q2",
        "text": "time off",
        "sort": "filtered",
        "filter": {"department": {"in": ["hr", "storage"]}, "access_level": {"le": 0}},
    },
]
QRELS = "query-id\tcorpus-id\tscore\nq1\tp1\t2\nq1\tp2\t0\nq2\tp2\t1\n"


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tiny-set"
    path.mkdir()
    (path / "corpus.jsonl").write_text(lines(CORPUS), encoding="utf-8")
    (path / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (path / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    np.save(path / "corpus.npy", np.eye(3, 4, dtype=np.float32))
    np.save(path / "queries.npy", np.eye(2, 4, dtype=np.float32))
    write_manifest(path, FILES)
    return path


def refused(folder, *, vouched=True):
    """Return the error of a folder that somebody changed, with a fresh manifest or without."""
    if vouched:
        write_manifest(folder, FILES)
    with pytest.raises(DatasetError) as caught:
        load_folder(folder)
    assert caught.value.where.startswith(str(folder))
    assert caught.value.seen is not None
    assert caught.value.remedy
    return caught.value


def rewrite(folder, name, rows):
    (folder / name).write_text(lines(rows), encoding="utf-8")


def test_a_folder_comes_back_as_it_was_written(folder):
    dataset = load_folder(folder)
    assert dataset.name == "tiny_set"
    assert dataset.metric == "COSINE"
    assert dataset.ids == ["p1", "p2", "p3"]
    assert dataset.texts is not None
    assert dataset.texts[0] == "Disk replacement\nPull the amber sled."
    assert dataset.texts[2] == "Für Gäste gilt: Ausweis sichtbar tragen."
    assert dataset.scalars["department"] == ["storage", "hr", "security"]
    assert dataset.scalars["codes"] == ["DS-11 E-7", "", ""]
    levels = dataset.scalars["access_level"]
    assert isinstance(levels, np.ndarray)
    assert levels.dtype == np.int64
    assert levels.tolist() == [1, 0, 2]
    assert dataset.vectors.dtype == np.float32
    assert dataset.queries.sorts == ["paraphrase", "filtered"]
    assert dataset.qrels == {"q1": {"p1": 2, "p2": 0}, "q2": {"p2": 1}}


def test_a_filter_becomes_the_expression_and_the_mask(folder):
    dataset = load_folder(folder)
    assert dataset.queries.filters is not None
    nothing, wanted = dataset.queries.filters
    assert nothing is None
    assert wanted is not None
    assert wanted.expression() == 'department in ["hr", "storage"] and access_level <= 0'
    assert wanted.mask(dataset.scalars).tolist() == [False, True, False]


def test_a_plain_beir_folder_needs_neither_sorts_nor_metadata(folder):
    rewrite(
        folder, "corpus.jsonl", [{k: v for k, v in r.items() if k != "metadata"} for r in CORPUS]
    )
    rewrite(folder, "queries.jsonl", [{"_id": q["_id"], "text": q["text"]} for q in QUERIES])
    write_manifest(folder, FILES)
    dataset = load_folder(folder)
    assert dataset.scalars == {}
    assert dataset.queries.sorts is None
    assert dataset.queries.filters is None


def test_provenance_names_the_checksums_and_no_local_path(folder):
    provenance = load_folder(folder).provenance
    assert set(provenance["sha256"]) == set(FILES)
    assert str(folder.parent) not in json.dumps(provenance)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_differs_from_the_manifest(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    error = refused(folder, vouched=False)
    assert "checksum differs" in error.what
    assert error.where.endswith(name)


def test_a_shortened_file_differs_in_size_from_the_manifest(folder):
    (folder / "qrels.tsv").write_text(QRELS[:-9], encoding="utf-8")
    error = refused(folder, vouched=False)
    assert f"says {len(QRELS)} bytes" in error.what
    assert error.seen == len(QRELS) - 9


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_does_not_list_is_refused(folder, name):
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"][name]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    error = refused(folder, vouched=False)
    assert f"does not list {name}" in error.what


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DatasetError, match="No such file") as caught:
        load_folder(folder)
    assert caught.value.where.endswith(name)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": "other/1", "files": {}}',
        '{"files": {"corpus.jsonl": "abc"}}',
        '{"files": {}}',
    ],
)
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / MANIFEST).write_text(text)
    assert refused(folder, vouched=False).where.endswith(MANIFEST)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
@pytest.mark.parametrize("identity", [None, "", "  ", 7])
def test_a_missing_id_is_named_with_its_line(folder, name, identity):
    rows = json.loads(json.dumps(CORPUS if name == "corpus.jsonl" else QUERIES))
    rows[1]["_id"] = identity
    rewrite(folder, name, rows)
    error = refused(folder) if identity is not None else None
    if error is None:
        del rows[1]["_id"]
        rewrite(folder, name, rows)
        error = refused(folder)
    assert "_id is missing" in error.what
    assert error.where.endswith(f"{name}, line 2")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_duplicate_id_is_named_with_both_lines(folder, name):
    rows = CORPUS if name == "corpus.jsonl" else QUERIES
    rewrite(folder, name, [*rows, rows[0]])
    error = refused(folder)
    assert "already, in line 1" in error.what
    assert error.where.endswith(f"{name}, line {len(rows) + 1}")
    assert error.seen == rows[0]["_id"]


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_bytes_that_are_not_utf8_are_shown_with_their_line(folder, name):
    content = (folder / name).read_bytes().split(b"\n")
    content[1] += b"\xfcber"
    (folder / name).write_bytes(b"\n".join(content))
    error = refused(folder)
    assert "not UTF-8" in error.what
    assert error.where.endswith(f"{name}, line 2")
    assert error.seen == b"\xfcber"


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_truncated_line_of_json_is_named(folder, name):
    content = (folder / name).read_bytes().rstrip(b"\n")
    (folder / name).write_bytes(content[:-5])
    error = refused(folder)
    assert "cut short" in error.what
    assert error.where.endswith(f"{name}, line {3 if name == 'corpus.jsonl' else 2}")


def test_a_line_that_is_json_but_no_object_is_refused(folder):
    (folder / "corpus.jsonl").write_text('"p1"\n', encoding="utf-8")
    assert refused(folder).seen == "p1"


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_an_empty_corpus_or_query_set_is_refused(folder, name):
    (folder / name).write_text("\n", encoding="utf-8")
    error = refused(folder)
    assert "is empty" in error.what
    assert error.where.endswith(name)


@pytest.mark.parametrize("key", ["text", "title"])
def test_a_passage_without_text_or_with_a_title_of_another_type_is_refused(folder, key):
    rewrite(folder, "corpus.jsonl", [{**CORPUS[0], key: 7}, *CORPUS[1:]])
    error = refused(folder)
    assert error.where.endswith("corpus.jsonl, line 1")
    assert error.seen == 7


@pytest.mark.parametrize(
    "array",
    [
        np.eye(2, 4, dtype=np.float32),
        np.zeros(4, dtype=np.float32),
        np.eye(3, 4, dtype=np.float64),
        np.array([[1, 0, 0, 0], [0, np.nan, 0, 0], [0, 0, 1, 0]], dtype=np.float32),
        np.array([[1, 0, 0, 0], [0, np.inf, 0, 0], [0, 0, 1, 0]], dtype=np.float32),
    ],
    ids=["a row short", "one dimension", "float64", "NaN", "infinite"],
)
def test_vectors_that_do_not_fit_are_refused_with_their_file(folder, array):
    np.save(folder / "corpus.npy", array)
    error = refused(folder)
    assert "corpus.npy" in error.where


def test_a_not_finite_vector_is_named_by_its_row(folder):
    array = np.eye(2, 4, dtype=np.float32)
    array[1, 3] = np.nan
    np.save(folder / "queries.npy", array)
    error = refused(folder)
    assert error.where.endswith("queries.npy, row 1")
    assert str(error.seen) == "nan"


def test_queries_of_another_dimension_are_refused(folder):
    np.save(folder / "queries.npy", np.eye(2, 5, dtype=np.float32))
    error = refused(folder)
    assert "another dimension" in error.what
    assert error.seen == 5


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00"])
def test_a_vector_file_that_is_no_array_is_refused(folder, content):
    (folder / "corpus.npy").write_bytes(content)
    assert refused(folder).where.endswith("corpus.npy")


def test_pickled_objects_are_never_unpickled(folder):
    np.save(folder / "corpus.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not a whole NumPy array" in refused(folder).what


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("q9\tp1\t1", "q9"),
        ("q1\tp9\t1", "p9"),
        ("q1\tp3\t0.5", "q1\tp3\t0.5"),
        ("q1\tp3\thigh", "q1\tp3\thigh"),
        ("q1 p3 1", "q1 p3 1"),
        ("q1\tp3", "q1\tp3"),
        ("q1\t0\tp3\t1", "q1\t0\tp3\t1"),
        ("q1\tp1\t1", "p1"),
    ],
    ids=["query", "passage", "0.5", "word", "spaces", "short", "long", "twice"],
)
def test_a_wrong_judgement_is_named_with_its_line(folder, line, seen):
    (folder / "qrels.tsv").write_text(QRELS + line + "\n", encoding="utf-8")
    error = refused(folder)
    assert error.where.endswith("qrels.tsv, line 5")
    assert error.seen == seen


@pytest.mark.parametrize("text", ["", "q1\tp1\t2\n", "query-id\tcorpus-id\tscore\n"])
def test_judgements_without_header_or_without_lines_are_refused(folder, text):
    (folder / "qrels.tsv").write_text(text, encoding="utf-8")
    assert "qrels.tsv" in refused(folder).where


@pytest.mark.parametrize(
    "wanted",
    [
        {"floor": {"eq": "hr"}},
        {"department": {"like": "h"}},
        {"department": "hr"},
        {"department": {"eq": "hr"}, "access_level": 0},
        {"department": {}},
        {},
        ["department"],
        {"access_level": {"le": "1"}},
        {"access_level": {"le": True}},
        {"access_level": {"le": 2**63}},
        {"access_level": {"in": [0, -(2**63) - 1]}},
        {"access_level": {"ge": -(2**63)}},
        {"department": {"in": "hr"}},
        {"department": {"in": []}},
    ],
)
def test_a_filter_that_cannot_be_applied_is_refused_with_its_line(folder, wanted):
    rewrite(folder, "queries.jsonl", [QUERIES[0], {**QUERIES[1], "filter": wanted}])
    assert refused(folder).where.endswith("queries.jsonl, line 2")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_filter_by_a_number_that_milvus_has_no_word_for_is_refused(folder, value):
    rows = [{**row, "metadata": {"share": 0.5}} for row in CORPUS]
    rewrite(folder, "corpus.jsonl", rows)
    rewrite(
        folder, "queries.jsonl", [QUERIES[0], {**QUERIES[1], "filter": {"share": {"le": value}}}]
    )
    error = refused(folder)
    assert "finite" in error.what
    assert error.where.endswith("queries.jsonl, line 2")


@pytest.mark.parametrize("change", [{"sort": "fuzzy"}, {"sort": "exact"}, {"filter": None}])
def test_a_sort_that_contradicts_the_query_is_refused(folder, change):
    rewrite(folder, "queries.jsonl", [QUERIES[0], {**QUERIES[1], **change}])
    assert "sort must be" in refused(folder).what


def test_a_relevant_passage_that_the_filter_excludes_is_refused(folder):
    (folder / "qrels.tsv").write_text(QRELS + "q2\tp3\t1\n", encoding="utf-8")
    error = refused(folder)
    assert "excludes a passage" in error.what
    assert error.seen == "p3"


@pytest.mark.parametrize(
    "metadata",
    [
        {"department": "hr", "access_level": "1", "codes": []},
        {"department": "hr", "access_level": {"floor": 1}, "codes": []},
        {"department": "hr", "access_level": 2**63, "codes": []},
        {"department": "hr", "access_level": float("nan"), "codes": []},
        {"department": "hr", "access_level": 1, "codes": [7]},
        "hr",
    ],
)
def test_metadata_that_make_no_column_are_refused_with_their_line(folder, metadata):
    rewrite(folder, "corpus.jsonl", [CORPUS[0], {**CORPUS[1], "metadata": metadata}, CORPUS[2]])
    assert "corpus.jsonl, line 2" in refused(folder).where


def test_the_command_vouches_for_a_folder_and_says_what_it_holds(folder):
    (folder / MANIFEST).unlink()
    done = CliRunner().invoke(app, ["manifest", str(folder)])
    assert done.exit_code == 0
    assert "3 passages, 2 queries, 4 dimensions" in done.stdout
    assert load_folder(folder).ids == ["p1", "p2", "p3"]


def test_the_command_refuses_a_folder_that_would_not_load(folder):
    (folder / "qrels.tsv").write_text("q1 p1 2\n", encoding="utf-8")
    refused = CliRunner().invoke(app, ["manifest", str(folder)])
    assert isinstance(refused.exception, DatasetError)
    assert "header" in str(refused.exception)


def test_a_missing_file_and_a_folder_that_cannot_be_written_to_are_named(folder, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        with pytest.raises(DatasetError, match="cannot write the manifest: No space left"):
            write_manifest(folder, FILES)
    (folder / "queries.npy").unlink()
    with pytest.raises(DatasetError, match=r"queries\.npy: cannot read the file"):
        write_manifest(folder, FILES)


def test_rows_keep_texts_and_metadata_when_some_are_taken(folder):
    taken = load_folder(folder).taken(np.array([2, 0, 2]))
    assert list(taken.ids) == ["p3", "p1", "p3"]
    assert taken.vectors.tolist() == np.eye(3, 4)[[2, 0, 2]].tolist()
    assert taken.scalars["department"] == ["security", "storage", "security"]
    assert list(taken.scalars["access_level"]) == [2, 1, 2]
    assert taken.texts is not None
    assert taken.texts[1].startswith("Disk replacement\n")
    assert taken.queries.ids == ["q1", "q2"]
