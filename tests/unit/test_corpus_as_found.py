"""Corpora as people have them are read as they are, or refused with everything that is wrong."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from validation.cli.corpus import app
from validation.datasets import names
from validation.datasets.checking import MAX_VARCHAR_BYTES
from validation.datasets.complaints import ranges
from validation.datasets.folder import files_of, load_folder
from validation.datasets.manifest import MANIFEST, write_manifest
from validation.datasets.metadata import without_null
from validation.errors import DatasetError

PASSAGES = [{"_id": f"p{n}", "title": f"Title {n}", "text": f"Text {n}."} for n in range(4)]
QUERIES = [{"_id": f"q{n}", "text": f"what is {n}"} for n in range(3)]
JUDGED = [("q0", "p0", "1"), ("q1", "p1", "2"), ("q2", "p2", "1")]
HEADER = "query-id\tcorpus-id\tscore"


@pytest.fixture
def corpus(tmp_path):
    """Return what writes a corpus folder and returns its path."""

    def write(  # noqa: PLR0917
        passages=PASSAGES,
        queries=QUERIES,
        judged=JUDGED,
        vectors=None,
        said=None,
        qrels="qrels.tsv",
    ):
        path = tmp_path / "mine"
        path.mkdir(exist_ok=True)
        for name, rows in (("corpus", passages), ("queries", queries)):
            text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
            (path / f"{name}.jsonl").write_text(text, encoding="utf-8")
            array = np.eye(len(rows), 8, dtype=np.float32)
            np.save(path / f"{name}.npy", array if vectors is None else vectors(array))
        (path / qrels).parent.mkdir(exist_ok=True)
        lines = judged if isinstance(judged, str) else "\n".join([HEADER, *map("\t".join, judged)])
        (path / qrels).write_text(lines + "\n", encoding="utf-8")
        if said is not None:
            (path / "corpus.yaml").write_text(said, encoding="utf-8")
        return path

    return write


def refused(folder):
    with pytest.raises(DatasetError) as caught:
        load_folder(folder, vouched=False)
    assert caught.value.remedy
    return str(caught.value)


def test_a_folder_as_downloaded_from_beir_is_read_as_it_is(corpus):
    beir = [{**row, "metadata": {}} for row in PASSAGES]
    more = [*QUERIES, {"_id": "of-another-split", "text": "x", "metadata": {}}]
    path = corpus(beir, more, qrels="qrels/test.tsv")
    assert files_of(path)[2] == "qrels/test.tsv"
    dataset = load_folder(path, vouched=False)
    assert dataset.queries.ids == ["q0", "q1", "q2"]
    assert dataset.queries.vectors.shape == (3, 8)
    write_manifest(path, files_of(path))
    assert "qrels/test.tsv" in json.loads((path / MANIFEST).read_text())["files"]
    assert load_folder(path).qrels == {"q0": {"p0": 1}, "q1": {"p1": 2}, "q2": {"p2": 1}}


def test_another_split_is_named_in_corpus_yaml(corpus):
    path = corpus(qrels="qrels/dev.tsv")
    assert "there is no qrels/test.tsv (seen: ['qrels/dev.tsv'])" in refused(path)
    corpus(qrels="qrels/dev.tsv", said="qrels: qrels/dev.tsv\n")
    assert len(load_folder(path, vouched=False).queries) == 3


def test_two_files_of_judgements_are_not_guessed_between(corpus):
    corpus()
    assert "say in corpus.yaml which are meant" in refused(corpus(qrels="qrels/test.tsv"))


def test_judgements_in_trecs_form_are_read(corpus):
    dataset = load_folder(corpus(judged="q0 0 p0 1\nq1  0\tp3 -2\n"), vouched=False)
    assert dataset.qrels == {"q0": {"p0": 1}, "q1": {"p3": -2}}


def test_grades_may_be_any_whole_number_and_written_with_a_point(corpus):
    judged = [("q0", "p0", "1.0"), ("q1", "p1", "7"), ("q1", "p2", "-2"), ("q2", "p2", "100.")]
    dataset = load_folder(corpus(judged=judged), vouched=False)
    assert dataset.qrels == {"q0": {"p0": 1}, "q1": {"p1": 7, "p2": -2}, "q2": {"p2": 100}}


def test_a_title_without_a_text_is_a_passage(corpus):
    rows = [{"_id": "p0", "title": "Only a title", "text": ""}, {"_id": "p1", "title": "Another"}]
    dataset = load_folder(corpus([*rows, *PASSAGES[2:]]), vouched=False)
    assert dataset.texts is not None
    assert dataset.texts[:2] == ["Only a title", "Another"]


def test_ids_and_texts_may_be_as_long_as_milvus_takes_them_and_no_longer(corpus):
    long = {"_id": "p" * MAX_VARCHAR_BYTES, "text": "ü" * (MAX_VARCHAR_BYTES // 2)}
    dataset = load_folder(corpus([*PASSAGES, long]), vouched=False)
    assert dataset.ids[-1] == long["_id"]
    longer = {"_id": "p" * (MAX_VARCHAR_BYTES + 1), "text": "x"}
    assert "_id is longer than 65,535 bytes" in refused(corpus([*PASSAGES, longer]))
    texts = [{"_id": name, "text": "ü" * 32_768} for name in ("big", "bigger")]
    said = refused(corpus([*PASSAGES, *texts]))
    assert "longer than 65,535 bytes of UTF-8 in 2 rows: big, bigger" in said


def test_all_lines_that_are_wrong_are_named_at_once(corpus):
    rows = [*PASSAGES, '{"_id": \n', {"text": "no id"}, {"_id": "p0", "text": "again"}, "[]\n"]
    rows += [{"text": "no id"}, {"_id": "e", "title": "", "text": ""}]
    said = refused(corpus(rows, [*QUERIES, {"_id": "q9", "text": 7}]))
    assert said.startswith(f"{corpus()}: 7 lines are wrong")
    for line in (
        "corpus.jsonl, line 5: the line is not JSON",
        "corpus.jsonl, line 8: the line is not a JSON object",
        "corpus.jsonl, lines 6, 9: _id is missing",
        "corpus.jsonl, line 7: this _id is there already, in line 1",
        "corpus.jsonl, line 10: there is neither a text nor a title",
        "queries.jsonl, line 4: text is missing",
    ):
        assert line in said


def test_judgements_are_not_blamed_for_passages_that_could_not_be_read(corpus):
    said = refused(corpus(['{"_id": "p0"\n', *PASSAGES[1:]]))
    assert "line 1: the line is not JSON" in said
    assert "qrels" not in said


def test_wrong_judgements_are_named_at_once(corpus):
    judged = [*JUDGED, ("q0", "p9", "1"), ("q0", "p1", "0.5"), ("q1", "p8", "1"), ("q7", "p1", "1")]
    said = refused(corpus(judged=judged))
    assert "qrels.tsv, lines 5, 7: judgement for a passage that is not there" in said
    assert "qrels.tsv, line 8: judgement for a query that is not there" in said
    assert "qrels.tsv, line 6: a judgement is query-id, corpus-id and a grade" in said


def test_line_numbers_are_told_in_short():
    assert ranges([2, 3, 4, 7, 9, 10]) == "2-4, 7, 9-10"
    assert ranges(list(range(1, 200, 2))).endswith(" and 60 more")


# Metadata


def test_null_and_missing_metadata_become_null(corpus):
    held = [{"site": "hq", "level": 1}, {"site": None, "level": 2.5}, None, {"level": 3}]
    rows = [{**row, "metadata": one} for row, one in zip(PASSAGES, held, strict=True)]
    queries = [{**QUERIES[0], "filter": {"level": {"le": 1}}}, *QUERIES[1:]]
    dataset = load_folder(corpus(rows, queries), vouched=False)
    assert dataset.scalars["site"] == ["hq", None, None, None]
    level = dataset.scalars["level"]
    assert isinstance(level, np.ma.MaskedArray)
    assert level.tolist() == [1.0, 2.5, None, 3.0]
    assert dataset.queries.filters is not None
    assert dataset.queries.filters[0] is not None
    assert dataset.queries.filters[0].mask(dataset.scalars).tolist() == [True, False, False, False]


def test_a_server_without_null_gets_neither_the_columns_nor_the_queries_that_need_them(corpus):
    rows = [{**row, "metadata": {"kind": "a"}} for row in PASSAGES]
    rows[1]["metadata"] = {"kind": "b", "level": 4}
    queries = [{**QUERIES[0], "filter": {"level": {"le": 1}}}, *QUERIES[1:]]
    judged = JUDGED[1:]
    dataset = without_null(load_folder(corpus(rows, queries, judged), vouched=False))
    assert set(dataset.scalars) == {"kind"}
    assert dataset.queries.ids == ["q1", "q2"]
    assert "the columns level are not stored, and 1 queries" in dataset.provenance["left_out"]


@pytest.mark.parametrize(
    "name",
    ["like", "IN", "interval", "True", "text_match", "ST_WITHIN", "id", "Timestamp", "2nd", "a-b"],
)
def test_a_column_that_no_filter_can_name_is_refused_with_the_list(corpus, name):
    rows = [{**row, "metadata": {name: "x", "fine": 1, "exists": 2}} for row in PASSAGES]
    said = refused(corpus(rows))
    assert repr(name) in said
    assert "'exists' is a word of the filter language" in said
    assert "json_contains_any, array_contains" in said


@pytest.mark.parametrize("name", ["Like", "inside", "likes", "iso_code", "_in", "L", "count"])
def test_a_column_that_only_looks_like_such_a_word_is_taken(name):
    assert not names.why_not(name)


# What a corpus declares


def test_the_metric_is_the_one_that_the_corpus_declares(corpus):
    assert load_folder(corpus(), vouched=False).metric == "COSINE"
    said = "schema: milvus-kit/corpus/1\nmetric: IP\n"
    assert load_folder(corpus(said=said), vouched=False).metric == "IP"


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ("metric: DOT\n", "metric: Input should be 'L2', 'IP' or 'COSINE'"),
        ("metrics: IP\n", "metrics: Extra inputs are not permitted"),
        ("metric: IP\nmetric: L2\n", "'metric' stands here twice"),
        ("- IP\n", "a corpus file is a mapping"),
        ("qrels: ../other.tsv\n", "have to lie in the corpus's own folder"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_named(corpus, said, about):
    assert about in refused(corpus(said=said))


def test_a_declaration_that_was_changed_or_removed_differs_from_the_manifest(corpus):
    path = corpus(said="metric: IP\n")
    write_manifest(path, files_of(path))
    (path / "corpus.yaml").write_text("metric: L2\n")
    with pytest.raises(DatasetError, match=r"corpus\.yaml: the (size|checksum) differs"):
        load_folder(path)
    (path / "corpus.yaml").unlink()
    with pytest.raises(DatasetError, match=r"corpus\.yaml: cannot read"):
        load_folder(path)


@pytest.mark.parametrize("scale", [1e20, 1e-25])
def test_lengths_that_float32_cannot_carry_are_refused(corpus, scale):
    for metric in ("COSINE", "IP", "L2"):
        path = corpus(vectors=lambda array: array * np.float32(scale), said=f"metric: {metric}\n")
        assert "whose square float32 cannot hold" in refused(path)


def test_a_few_short_vectors_have_no_cosine_and_do_inner_products_no_harm(corpus):
    def short(array):
        array[0] *= np.float32(1e-25)
        return array

    assert "row 0" in refused(corpus(vectors=short))
    assert load_folder(corpus(vectors=short, said="metric: L2\n"), vouched=False).rows == 4


def test_the_command_notices_vectors_that_are_not_of_unit_length(corpus):
    done = CliRunner().invoke(app, ["manifest", str(corpus(vectors=lambda array: array * 3))])
    assert "not of unit length (3 to 3), and COSINE ignores their lengths" in done.stdout
    path = corpus(vectors=lambda array: array * 3, said="metric: IP\n")
    assert "IP counts their lengths" in CliRunner().invoke(app, ["manifest", str(path)]).stdout
    done = CliRunner().invoke(app, ["manifest", str(corpus(said="metric: COSINE\n"))])
    assert done.exit_code == 0
    assert "note" not in done.stdout


# Queries that are passages


def test_a_query_that_shares_its_id_with_a_passage_does_not_find_itself(corpus):
    queries = [{"_id": "p3", "text": "Text 3."}, *QUERIES]
    path = corpus(queries=queries, judged=[("p3", "p1", "1"), *JUDGED])
    dataset = load_folder(path, vouched=False)
    assert dataset.queries.own == ["p3", None, None, None]
    assert dataset.provenance["identical_ids_ignored"] == 1
    assert "1 queries share their id" in CliRunner().invoke(app, ["manifest", str(path)]).stdout
    path = corpus(queries=queries, judged=JUDGED, said="ignore_identical_ids: false\n")
    assert load_folder(path, vouched=False).queries.own is None


def test_ids_that_are_the_same_by_chance_have_to_be_declared(corpus):
    queries = [{"_id": "p3", "text": "x"}, *QUERIES]
    judged = [("p3", "p3", "1"), *JUDGED]
    assert "1 are judged relevant to the query of their id" in refused(
        corpus(PASSAGES, queries, judged)
    )
    path = corpus(PASSAGES, queries, judged, said="ignore_identical_ids: true\n")
    assert load_folder(path, vouched=False).queries.own == ["p3", None, None, None]


def test_the_command_writes_no_manifest_for_a_folder_that_does_not_load(corpus):
    path = corpus(judged="q0 p0\n")
    assert isinstance(CliRunner().invoke(app, ["manifest", str(path)]).exception, DatasetError)
    assert not (path / MANIFEST).exists()
