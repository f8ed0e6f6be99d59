"""Corpora as people have them go into real servers, come back, and are judged rightly."""

import json

import h5py
import numpy as np
import pytest

from validation import target as targets
from validation.datasets.folder import files_of, load_folder
from validation.datasets.manifest import write_manifest
from validation.datasets.metadata import without_null
from validation.local.lite import lite_target
from validation.milvus import (
    capabilities,
    loading,
    manifest,
    ownership,
    reading,
    schema,
    searching,
)
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.report.results import State
from validation.report.store import read_samples
from validation.runs.folder import read_parts
from validation.runs.pytest_run import Suite, run_here

ROWS = 600
WIDE = 60_000


@pytest.fixture
def server(embedded_target):
    with connect(embedded_target) as connection:
        yield connection
        ownership.drop_all_ours(connection, run="corpora")


@pytest.fixture
def lite(tmp_path):
    with connect(lite_target(tmp_path)) as connection:
        yield connection


def write_corpus(path, passages, queries, judged, *, vectors, asked, said=""):
    path.mkdir()
    for name, rows in (("corpus", passages), ("queries", queries)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (path / "qrels").mkdir()
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(line) for line in judged), ""]
    (path / "qrels/test.tsv").write_text("\n".join(lines), encoding="utf-8")
    np.save(path / "corpus.npy", vectors.astype(np.float32))
    np.save(path / "queries.npy", asked.astype(np.float32))
    if said:
        (path / "corpus.yaml").write_text(said, encoding="utf-8")
    write_manifest(path, files_of(path))
    return path


@pytest.fixture
def wide(tmp_path):
    """A corpus at Milvus's limits: long ids, long texts, NULL; 22 MB where vectors have 10 KB."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(ROWS, 8)) * random.uniform(0.5, 9, size=(ROWS, 1))
    passages = [
        {
            "_id": f"p{n}" + "x" * (WIDE if n < 3 else 0),
            "text": f"word{n} " + "y" * (WIDE if n % 2 else 0),
            "metadata": {"level": None if n % 3 else n, "site": f"s{n}" if n % 4 else None},
        }
        for n in range(ROWS)
    ]
    queries = [{"_id": "q", "text": "word5", "filter": {"level": {"lt": 9}}}]
    queries += [{"_id": "r", "text": "word6"}]
    judged = [("q", "p6", "1"), ("r", "p6", "1")]
    path = write_corpus(
        tmp_path / "wide",
        passages,
        queries,
        judged,
        vectors=vectors,
        asked=vectors[5:7],
        said="metric: IP\n",
    )
    return load_folder(path)


def test_a_corpus_at_the_limits_comes_back_as_it_was_sent(server, wide):
    assert not capabilities.knows_null(server)
    dataset = without_null(wide)
    assert dataset.queries.ids == ["r"]
    sizes = [rows.stop - rows.start for rows in loading.batches(schema.columns(dataset), ROWS)]
    assert len(sizes) > 1
    loading.load(server, dataset, name="mk_wide", index=index_named("FLAT"), run="corpora")
    sent = manifest.sent(dataset)
    for like in (sent, None):
        assert manifest.compare(sent, manifest.stored(server, "mk_wide", like=like)).none
    pages = reading.read(server, "mk_wide", lambda rows: len(rows["id"]))
    assert len(pages) > 1
    found = searching.search(server, "mk_wide", dataset.queries.vectors, k=3)
    products = dataset.vectors @ dataset.queries.vectors[0]
    assert found.of(0) == [dataset.ids[row] for row in np.argsort(-products)[:3]]


def test_whether_a_server_of_no_version_knows_null_is_tried(server, lite, monkeypatch):
    monkeypatch.setattr(server, "server_version", "cebbe1e4da")
    assert not capabilities.knows_null(server)
    assert not [name for name in ownership.ours(server) if "probe" in name]
    monkeypatch.setattr(type(lite), "is_lite", False)  # or it would be known without a trial
    monkeypatch.setattr(lite, "server_version", "")
    assert capabilities.knows_null(lite)


def test_null_comes_back_as_null_and_satisfies_no_condition(lite, wide):
    loading.load(lite, wide, name="mk_wide", index=index_named("FLAT"), run="corpora")
    sent = manifest.sent(wide)
    assert manifest.compare(sent, manifest.stored(lite, "mk_wide", like=sent)).none
    wanted = wide.queries.filters[0]
    found = searching.search(lite, "mk_wide", wide.queries.vectors[:1], k=10, filter=wanted)
    assert {key.rstrip("x") for key in found.of(0)} == {"p0", "p3", "p6"}


def test_a_query_that_is_a_passage_is_not_its_own_answer(tmp_path):
    vectors = np.eye(12) + 0.01
    passages = [{"_id": str(n), "title": "", "text": f"claim {n}"} for n in range(12)]
    queries = [{"_id": str(n), "text": f"claim {n}"} for n in range(3)]
    judged = [(str(n), str(n + 6), "1") for n in range(3)]
    vectors[6:9] += 0.5 * np.eye(12)[:3]
    corpus = write_corpus(
        tmp_path / "argued", passages, queries, judged, vectors=vectors, asked=vectors[:3]
    )
    folder, [part] = judged_on(lite_target(tmp_path / "lite"), corpus, tmp_path / "run")
    assert part.state is State.COMPLETE
    ndcg = of_all(part, "vector", "ndcg@10")
    assert ndcg.evidence["identical_ids_ignored"] == 3
    assert list(read_samples(folder, ndcg)) == [1.0, 1.0, 1.0]


def judged_on(target, corpus, folder):
    """Run the retrieval checks with a corpus on a server, as `validate` does."""
    folder.mkdir()
    targets.save(target, folder / "target.yaml")
    (folder / "rules.slo.yaml").write_text(
        "schema: milvus-kit/slo/1\nrules:\n  ndcg:\n    {metric: ndcg@10, where: {method: vector},"
        " statistic: mean, min: 0.9, unit: ratio}\n",
        encoding="utf-8",
    )
    run_here(
        Suite(
            folder / "target.yaml",
            folder / "rules.slo.yaml",
            "smoke",
            folder,
            corpus=corpus,
            families=("retrieval",),
            quiet=True,
        )
    )
    return folder, read_parts(folder)


def of_all(part, method, metric):
    """Return what was observed of a method over all judged queries."""
    [found] = [
        one
        for one in part.observations
        if one.metric == metric
        and one.labels["method"] == method
        and one.labels.get("sort", "all") == "all"
    ]
    return found


CHINESE = {
    "更换水泵的机械密封": "机械密封漏水了怎么办",
    "季度差旅费用报销流程": "怎样报销差旅费用",
    "服务器机房空调温度设置": "机房温度应该是多少",
    "新员工入职培训安排": "入职培训什么时候开始",
    "数据库备份与恢复手册": "如何恢复数据库",
    "年度体检预约通知": "体检在哪里预约",
}
"""Passages, each with the question that it answers; no sentence is a part of another."""


def chinese(path, said=""):
    vectors = np.eye(len(CHINESE), 8)
    return write_corpus(
        path,
        [{"_id": f"p{n}", "text": text} for n, text in enumerate(CHINESE)],
        [{"_id": f"q{n}", "text": text} for n, text in enumerate(CHINESE.values())],
        [(f"q{n}", f"p{n}", "1") for n in range(len(CHINESE))],
        vectors=vectors,
        asked=vectors,
        said=said,
    )


def test_a_language_that_the_analyzer_does_not_split_is_not_measured_by_keyword(tmp_path):
    _, [part] = judged_on(
        lite_target(tmp_path / "lite"), chinese(tmp_path / "zh"), tmp_path / "run"
    )
    for method in ("keyword", "hybrid"):
        found = of_all(part, method, "ndcg@10")
        assert "no query shares a token with any passage" in str(found.not_measured)
        assert "`analyzer` in corpus.yaml" in str(found.not_measured)
    assert not of_all(part, "vector", "ndcg@10").not_measured


def test_an_analyzer_of_the_language_finds_its_words(tmp_path):
    corpus = chinese(tmp_path / "zh", "analyzer: jieba\n")
    folder, [part] = judged_on(lite_target(tmp_path / "lite"), corpus, tmp_path / "run")
    for method in ("keyword", "hybrid"):
        ndcg = read_samples(folder, of_all(part, method, "ndcg@10"))
        assert list(ndcg) == [1.0] * len(CHINESE)


def test_an_analyzer_that_the_server_does_not_know_is_named(tmp_path):
    corpus = chinese(tmp_path / "zh", "analyzer: {type: chinese}\n")
    _, [part] = judged_on(lite_target(tmp_path / "lite"), corpus, tmp_path / "run")
    found = of_all(part, "keyword", "ndcg@10")
    assert "does not take the corpus's analyzer {'type': 'chinese'}" in str(found.not_measured)
    assert part.state is State.COMPLETE


def test_an_hdf5_file_is_held_against_exact_search_and_keywords_are_not_measured(tmp_path):
    random = np.random.default_rng(5)
    with h5py.File(tmp_path / "own.hdf5", "w") as file:
        file["train"] = random.normal(size=(300, 8)).astype(np.float32)
        file["test"] = random.normal(size=(5, 8)).astype(np.float32)
        file.attrs["distance"] = "euclidean"
    folder, [part] = judged_on(
        lite_target(tmp_path / "lite"), tmp_path / "own.hdf5", tmp_path / "run"
    )
    assert part.state is State.COMPLETE
    assert of_all(part, "keyword", "ndcg@10").not_measured == "the corpus has no texts"
    assert of_all(part, "vector", "ndcg@10").not_measured == "the corpus has no judgements"
    [misses] = [one for one in part.observations if one.metric == "exact_search.misses"]
    assert list(read_samples(folder, misses)) == [0] * 10
