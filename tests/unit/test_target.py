"""The target document: what crosses from a deployment, and what must not."""

import pytest
from pydantic import SecretStr

from validation import target as targets
from validation.errors import ConfigurationError
from validation.target import Auth, Milvus, SecretRef, Storage, Target


def written(tmp_path, text):
    path = tmp_path / "target.yaml"
    path.write_text(text)
    return path


HEAD = "schema: milvus-kit/target/1\nname: t\n"


def test_what_is_saved_is_what_is_loaded(tmp_path):
    target = Target(
        name="t",
        milvus=Milvus(
            uri="http://h:19530", auth=Auth(user="root", password=SecretRef(env="PASSWORD"))
        ),
        storage=Storage(provider="minio", endpoint="http://h:9000", bucket="b"),
    )
    targets.save(target, tmp_path / "t.yaml")
    assert targets.load(tmp_path / "t.yaml") == target


def test_a_target_that_holds_a_secret_is_not_written(tmp_path):
    secret = SecretRef(value=SecretStr("s3cret"))
    target = Target(
        name="t", milvus=Milvus(uri="http://h:1", auth=Auth(user="root", password=secret))
    )
    with pytest.raises(ConfigurationError) as refused:
        targets.save(target, tmp_path / "t.yaml")
    assert "s3cret" not in str(refused.value)
    assert not (tmp_path / "t.yaml").exists()
    assert "s3cret" not in str(target.document())
    assert target.document(reveal=True)["milvus"]["auth"]["password"] == {"value": "s3cret"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("milvus: {uri: 'http://u:p4ss@h:1'}", "milvus.uri"),
        ("milvus: {uri: 'http://h:1', metrics_uri: 'http://u:p4ss@h:2'}", "metrics_uri"),
        (
            (
                "milvus: {uri: 'http://h:1'}\n"
                "storage: {provider: s3, endpoint: 'http://u:p4ss@h:3', bucket: b}"
            ),
            "storage.endpoint",
        ),
    ],
)
def test_an_address_with_credentials_is_refused_without_showing_them(tmp_path, text, named):
    with pytest.raises(ConfigurationError) as refused:
        targets.load(written(tmp_path, HEAD + text))
    assert named in str(refused.value)
    assert "p4ss" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "milvus: {uri: 'http://h:1', version: latest}",
        "milvus: {uri: 'http://h:1', vresion: 2.6.0}",
        "milvus: {}",
        "milvus: {uri: 2024-13-45}",
        "milvus: [",
        "milvus: {uri: 'http://h:1', uri: 'http://h:2'}",
        "name: another",
    ],
)
def test_a_wrong_target_is_named_with_its_file(tmp_path, text):
    with pytest.raises(ConfigurationError, match=r"target\.yaml"):
        targets.load(written(tmp_path, HEAD + text))


def test_every_wrong_key_is_named_at_once(tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        targets.load(written(tmp_path, HEAD + "milvus: {url: x}\nstorage: {bucket: b}\n"))
    for key in ("milvus.url", "milvus.uri", "storage.endpoint", "storage.provider"):
        assert key in str(refused.value)


def test_a_secret_is_exactly_one_of_its_kinds(tmp_path):
    with pytest.raises(ConfigurationError, match="exactly one"):
        targets.load(
            written(
                tmp_path,
                HEAD + "milvus: {uri: 'http://h:1', auth: {user: u, password: {env: A, file: b}}}",
            )
        )


def test_a_missing_secret_names_variable_and_purpose(monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(ConfigurationError, match=r"milvus\.auth\.password.*NO_SUCH"):
        SecretRef(env="NO_SUCH").reveal("milvus.auth.password")


def test_an_empty_secret_file_is_refused(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigurationError, match="empty"):
        SecretRef(file=tmp_path / "empty").reveal()
