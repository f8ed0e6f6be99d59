"""What stays in a bucket, or is too large to be brought from it, is told; the store is moto."""

from __future__ import annotations

from types import SimpleNamespace

import botocore.exceptions as boto
import pytest

from tests.builders import build_again
from validation.across import earlier
from validation.errors import ConfigurationError, CredentialsError
from validation.report import html, store
from validation.runs import in_cluster
from validation.runs.in_bucket import LAST, fetch, read_all, upload
from validation.s3.client import boto as client_of
from validation.s3.client.boto import connect
from validation.s3.preflight import remains
from validation.s3.workspace import MARK, MARKED
from validation.target import SecretRef, Storage

STORAGE = Storage(
    provider="s3",
    endpoint="https://s3.amazonaws.com",
    bucket="milvus",
    access_key=SecretRef(env="TEST_S3_KEY"),
    secret_key=SecretRef(env="TEST_S3_KEY"),
)
NAME = "20260101T000000Z-prod"
PREFIX = "files/milvus-kit-preflight-0123456789ab/"


@pytest.fixture
def s3(monkeypatch):
    moto = pytest.importorskip("moto", reason="moto is not installed")
    monkeypatch.setenv("TEST_S3_KEY", "planted")
    client_of._session.cache_clear()  # moto stands in for sessions that are made after its import
    with moto.mock_aws():
        client = connect(STORAGE)
        client.create_bucket(Bucket="milvus")
        yield client


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("large", ["samples.csv", LAST])
def test_a_file_that_no_run_wrote_is_left_in_the_bucket(tmp_path, monkeypatch, large):
    run = tmp_path / "there" / NAME
    run.mkdir(parents=True)
    for name in ("samples.csv", LAST):
        (run / name).write_bytes(b"x" * (101 if name == large else 100))
    upload(run, STORAGE, "results")
    monkeypatch.setattr(store, "LARGEST_BYTES", 100)
    with pytest.raises(ConfigurationError, match="files are no larger than") as told:
        fetch(STORAGE, "results", tmp_path / "here")
    assert told.value.where == f"s3://milvus/results/{NAME}/{large}"
    assert told.value.seen == "101 bytes"
    here = tmp_path / "here" / NAME
    assert not (here / large).exists()
    assert not (here / LAST).exists()  # so that nobody takes the folder for a run
    monkeypatch.setattr(store, "LARGEST_BYTES", 101)
    assert len((fetch(STORAGE, "results", tmp_path / "here") / large).read_bytes()) == 101


@pytest.mark.usefixtures("s3")
def test_results_that_are_too_large_are_left_out_of_a_history(tmp_path, monkeypatch):
    run = tmp_path / NAME
    run.mkdir()
    (run / LAST).write_bytes(b"x" * 101)
    upload(run, STORAGE, "results")
    monkeypatch.setattr(store, "LARGEST_BYTES", 100)
    with pytest.raises(ConfigurationError) as told:
        read_all(STORAGE, "results")
    assert f"{NAME}: a run's files are no larger" in str(told.value.seen)


def test_a_run_in_the_cluster_is_shown_beside_those_before_it_in_the_bucket(
    s3, tmp_path, monkeypatch
):
    monkeypatch.setattr(html, "draw_all", lambda *_: [])
    for number in range(3):
        folder = tmp_path / "there" / f"2026010{number}T000000Z-local"
        build_again(folder, number, rendered=False)
        upload(folder, STORAGE, "results")
    s3.put_object(Bucket="milvus", Key="results/20260109T000000Z-x/results.json", Body=b"{")
    folder = tmp_path / "pod" / "20260103T000000Z-local"
    build_again(folder, 3, missing_rows=3)
    assert not (folder / store.HISTORY).exists()
    in_cluster.remember(folder, STORAGE, "results")
    assert [one.run[:8] for one in earlier.read(folder).runs] == [
        "20260100",
        "20260101",
        "20260102",
    ]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "passed in 3 of 4 runs" in text
    assert "<li>20260109T000000Z-x: " in text
    assert f"results/{folder.name}/history.json" in upload(folder, STORAGE, "results")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_cannot_be_read_costs_a_run_its_history_and_nothing_else(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(html, "draw_all", lambda *_: [])
    build_again(tmp_path / "run", 0)
    page = (tmp_path / "run" / "report.html").read_bytes()
    gone = STORAGE.model_copy(update={"bucket": "gone"})
    in_cluster.remember(tmp_path / "run", gone, "results")
    assert "the page is without earlier runs: " in capsys.readouterr().err
    assert (tmp_path / "run" / "report.html").read_bytes() == page


def refusing_to_abort(monkeypatch) -> None:
    """Plant what a store without the right to abort answers."""

    def refuse(**_kwargs):
        answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise boto.ClientError(answer, "AbortMultipartUpload")

    def connected(storage):
        client = connect(storage)
        client.meta.events.register("before-call.s3.AbortMultipartUpload", refuse)
        return client

    monkeypatch.setattr(remains, "connect", connected)


def test_clean_tells_of_an_upload_that_it_could_not_abort(s3, monkeypatch):
    monkeypatch.setattr(remains, "reach", lambda _: SimpleNamespace(tls_problem=""))
    s3.put_object(Bucket="milvus", Key=PREFIX + MARKED, Body=MARK)
    s3.put_object(Bucket="milvus", Key=f"{PREFIX}0001/object", Body=b"")
    for number in (2, 3):
        s3.create_multipart_upload(Bucket="milvus", Key=f"{PREFIX}000{number}/upload")
    s3.create_multipart_upload(Bucket="milvus", Key="files/insert_log/1")
    with monkeypatch.context() as planted:
        refusing_to_abort(planted)
        with pytest.raises(
            CredentialsError, match="2 objects or uploads could not be deleted"
        ) as e:
            remains.clean(STORAGE)
    assert f"milvus/{PREFIX}0002/upload (an unfinished upload that is still listed)" in str(
        e.value.seen
    )
    left = s3.list_objects_v2(Bucket="milvus")["Contents"]
    assert [one["Key"] for one in left] == [PREFIX + MARKED]  # by it, the next try finds them
    assert remains.clean(STORAGE).removed == (PREFIX,)
    uploads = s3.list_multipart_uploads(Bucket="milvus")["Uploads"]
    assert [one["Key"] for one in uploads] == ["files/insert_log/1"]
    assert "Contents" not in s3.list_objects_v2(Bucket="milvus")
