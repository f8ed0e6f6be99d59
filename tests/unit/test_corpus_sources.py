"""Vectors by a model, and HDF5 files of ann-benchmarks.

The model is a stand-in here: sentence-transformers brings PyTorch, which the tests do without.
"""

import json
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from validation.datasets.folder import files_of, load_folder
from validation.datasets.manifest import write_manifest
from validation.datasets.sources import ann_benchmarks
from validation.datasets.sources.embedding import embed
from validation.errors import DatasetError, MissingToolError, UsageError
from validation.suite import workload


def bench_file(path, distance="angular", **others):
    random = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        content = {
            "train": random.normal(size=(50, 6)).astype(np.float32),
            "test": random.normal(size=(4, 6)),
            "neighbors": np.zeros((4, 10), dtype=int),
            **others,
        }
        for name, values in content.items():
            if values is not None:
                file[name] = values
        file.attrs["distance"] = distance
    return path


@pytest.mark.parametrize(
    ("distance", "metric"), [("euclidean", "L2"), ("angular", "COSINE"), ("dot", "IP")]
)
def test_an_ann_benchmarks_file_is_read_as_it_is(tmp_path, distance, metric):
    found = workload.corpus(bench_file(tmp_path / "glove-6-test.hdf5", distance))
    assert (found.rows, found.dim, len(found.queries), found.metric) == (50, 6, 4, metric)
    assert found.name == "glove_6_test"
    assert found.queries.vectors.dtype == np.float32
    assert found.texts is None
    assert len(found.provenance["sha256"]["glove-6-test.hdf5"]) == 64


@pytest.mark.parametrize(
    ("distance", "others", "said"),
    [
        ("jaccard", {}, "jaccard"),
        ("angular", {"test": None}, "no vectors `test`"),
        ("angular", {"train": np.zeros((5, 6), dtype=bool)}, "no vectors `train`"),
        ("angular", {"train": np.zeros((5, 6))}, "all zeros"),
        ("angular", {"test": np.ones((2, 5))}, "another dimension"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused(tmp_path, distance, others, said):
    with pytest.raises(DatasetError, match=said):
        ann_benchmarks.load(bench_file(tmp_path / "x.hdf5", distance, **others))


def test_a_file_that_is_not_hdf5_is_refused(tmp_path):
    (tmp_path / "x.hdf5").write_text("<html>")
    for name in ("x.hdf5", "nowhere.hdf5"):
        with pytest.raises(DatasetError, match=name):
            ann_benchmarks.load(tmp_path / name)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingToolError, match=r"milvus-kit\[hdf5\]"):
        ann_benchmarks.load(tmp_path / "x.hdf5")


class Model:
    """Counts letters; questions are told from passages."""

    def __init__(self, name):
        if name == "absent":
            raise OSError("absent is no local folder and is not a valid model identifier\nmore")

    def encode_document(self, texts, **_):
        return np.array([[len(text), text.count("a"), 1] for text in texts])

    def encode_query(self, texts, **_):
        return -self.encode_document(texts)


@pytest.fixture
def model(monkeypatch):
    library = SimpleNamespace(SentenceTransformer=Model)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)


@pytest.fixture
def texts(tmp_path):
    lines = [{"_id": "p1", "title": "Disks", "text": "amber"}, {"_id": "p2", "title": "Fans"}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "a drive"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    return tmp_path


@pytest.mark.usefixtures("model")
def test_a_folder_without_vectors_is_embedded_and_then_loads(texts):
    made = embed(texts, "letters")
    assert (made.passages, made.queries, made.dim) == (2, 1, 3)
    write_manifest(texts, files_of(texts))
    found = load_folder(texts)
    assert found.vectors.tolist() == [[len("Disks\namber"), 1, 1], [4, 1, 1]]
    assert found.queries.vectors.tolist() == [[-7, -1, -1]]


@pytest.mark.usefixtures("model")
def test_bad_lines_and_models_are_named_and_nothing_is_written(texts):
    with pytest.raises(UsageError, match="absent is no local folder"):
        embed(texts, "absent")
    (texts / "queries.jsonl").write_text('{"_id": "q1"}\n')
    with pytest.raises(DatasetError, match="text is missing"):
        embed(texts, "letters")
    assert not list(texts.glob("*.npy*"))


def test_a_folder_as_downloaded_is_told_how_to_come_by_vectors(texts):
    with pytest.raises(DatasetError, match=r"corpus embed .* --model NAME"):
        load_folder(texts, vouched=False)


def test_without_sentence_transformers_the_extra_is_named(texts, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingToolError, match=r"milvus-kit\[embed\]"):
        embed(texts, "letters")
