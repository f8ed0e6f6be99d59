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


@pytest.mark.parametrize("secret", ["key\r", "key\n", " key", "key\t"])
def test_white_space_around_a_secret_is_told_before_a_server_only_says_refused(
    monkeypatch, tmp_path, secret
):
    monkeypatch.setenv("MK_KEY", secret)
    path = tmp_path / "key"
    path.write_bytes(f"{secret.rstrip()} ".encode())
    for given in (
        SecretRef(env="MK_KEY"),
        SecretRef(file=path),
        SecretRef(value=SecretStr(secret)),
    ):
        with pytest.raises(ConfigurationError, match="begins or ends with white space") as refused:
            given.reveal("storage.secret_key")
        assert "storage.secret_key" in str(refused.value)
        assert secret not in str(refused.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_the_line_ends_of_a_file_are_no_part_of_its_secret(tmp_path, end):
    (tmp_path / "key").write_bytes(f"key{end}".encode())
    assert SecretRef(file=tmp_path / "key").reveal() == "key"


def test_a_long_document_may_end_with_a_line(monkeypatch):
    monkeypatch.setenv("MK_KUBECONFIG", "a: b\n" * 99)
    assert SecretRef(env="MK_KUBECONFIG").reveal().endswith("b\n")


def test_an_empty_secret_file_is_refused(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigurationError, match="empty"):
        SecretRef(file=tmp_path / "empty").reveal()


@pytest.mark.parametrize(
    ("milvus", "said"),
    [
        ("{uri: 'milvus.example:19530'}", "starts with http"),
        ("{uri: 'http://milvus:port'}", "a port is a number from 1 to 65535"),
        ("{uri: 'http://milvus:0'}", "a port is a number from 1 to 65535"),
        ("{uri: 'http://milvus:70000'}", "a port is a number from 1 to 65535"),
        ("{uri: 'http://milvus:'}", "a port is a number from 1 to 65535"),
        ("{uri: 'http://milvus:19530/?db_name=x'}", "no query"),
        ("{uri: 'http://milvus:19530/#x'}", "no fragment"),
        ("{uri: 'http://milvus:19530/a/b'}", "no path"),
        ("{uri: 'http://milvus:19530/a-b'}", "no database's name"),
        ("{uri: 'http://milvus:19530/a', database: b}", "the database a, and milvus.database"),
        ("{uri: 'http://milvus:19530 '}", "white space"),
        ("{uri: 'http://300.1.1.1:19530'}", "no host has this name"),
        ("{uri: 'http://milvus:19530/x.db/y'}", "no path"),
        ("{uri: 'ftp://milvus/a.db'}", "starts with http"),
        ("{uri: 'http://m:1', metrics_uri: 'http://m:9091/metrics?x=1'}", "no query"),
        ("{uri: 'http://m:1', metrics_uri: 'http://m:0'}", "a port is a number"),
        ("{uri: 'http://m:1'}\nstorage: {provider: s3, bucket: b, endpoint: 'http://s/b'}", "path"),
        ("{uri: 'http://m:1'}\nstorage: {provider: s3, bucket: b, endpoint: 'http://s#'}", "query"),
        (
            "{uri: 'http://m:1'}\nstorage: {provider: s3, bucket: b, endpoint: 'http://s:70000'}",
            "a port is a number",
        ),
    ],
)
def test_no_part_of_an_address_is_passed_over(tmp_path, milvus, said):
    with pytest.raises(ConfigurationError, match=said):
        targets.load(written(tmp_path, f"{HEAD}milvus: {milvus}"))


@pytest.mark.parametrize(
    "uri", ["http://m:19530/db1", "http://m:19530/db1/", "https://[::1]:19530/db1"]
)
def test_a_database_in_the_path_of_the_uri_is_the_one_that_is_used(tmp_path, uri):
    found = targets.load(written(tmp_path, f"{HEAD}milvus: {{uri: '{uri}'}}")).milvus
    assert (found.uri, found.database) == (uri.partition("/db1")[0], "db1")


@pytest.mark.parametrize("uri", ["http://m:19530", "http://m", "https://m_1.a.b:65535/", "a/b.db"])
def test_an_address_without_a_path_means_the_default_database(tmp_path, uri):
    assert targets.load(written(tmp_path, f"{HEAD}milvus: {{uri: {uri}}}")).milvus.uri == uri
