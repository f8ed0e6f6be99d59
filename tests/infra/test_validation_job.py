from __future__ import annotations

import httpx
import pytest
import yaml
from declaring import (
    CLUSTER_23,
    CONFIG,
    DEV,
    PROD,
    Declared,
    changed,
    declare,
    run,
    settings_of,
    shown,
)

from infra import program
from infra.images import lock_file
from tests.builders import build
from validation import target as targets
from validation.common.resources import rules_file
from validation.errors import ConfigurationError, UnreachableError
from validation.runs import in_cluster
from validation.runs.in_bucket import (
    LAST,
    begin,
    fetch,
    read_all,
    require_last,
    require_of,
    stored_runs,
    upload,
)
from validation.runs.profiles import PROFILES
from validation.s3.client.boto import connect
from validation.target import SecretRef, Storage

RULES = """schema: milvus-kit/slo/1
rules:
  loading.index: {{metric: loading.index_seconds, max: {}, unit: s}}
"""
ENABLED = changed(
    PROD,
    milvus={"tls": {"mode": "mutual"}},
    validation={"enabled": True, "profile": "smoke"},
)


@pytest.fixture(scope="module")
def declared() -> Declared:
    return declare(ENABLED, stack="prod")


def pod(declared: Declared) -> dict:
    return shown(declared.workloads()["Job/milvus-validation"])["spec"]


def test_it_is_there_only_where_it_is_wanted():
    assert "milvus-validation" not in declare(DEV).of("Job")


def test_its_target_parses_and_reaches_milvus_and_the_store_inside(declared, tmp_path):
    data = declared.one("ConfigMap", "milvus-validation")["data"]
    target = targets.parse(yaml.safe_load(data["target.yaml"]), source="the Job")
    assert target.milvus.uri == "https://milvus.ns.svc:19530"
    assert target.milvus.metrics_uri == "http://milvus-metrics.ns.svc:9091"
    assert target.milvus.tls.mode == "mutual"
    assert target.storage is not None
    assert target.storage.endpoint == "https://s3.example.com"
    targets.save(target, tmp_path / "target.yaml")  # refuses a target that holds a secret


def test_every_file_and_variable_that_the_target_names_is_given_to_the_pod(declared):
    data = declared.one("ConfigMap", "milvus-validation")["data"]
    target = targets.parse(yaml.safe_load(data["target.yaml"]), source="the Job")
    spec = pod(declared)
    container = spec["containers"][0]
    folders = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    files = {
        f"{folders[volume['name']]}/{item['path']}"
        for volume in spec["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    assert target.storage is not None
    assert target.milvus.auth is not None
    for tls in (target.milvus.tls, target.storage.tls):
        for path in (tls.ca_file, tls.client_certificate_file, tls.client_key_file):
            assert path is None or str(path) in files
    variables = {item["name"] for item in container["env"] if "valueFrom" in item}
    storage = target.storage
    for ref in (target.milvus.auth.password, storage.access_key, storage.secret_key):
        assert ref is not None
        assert ref.env in variables


def test_the_stacks_own_rules_go_with_it(declared):
    data = declared.one("ConfigMap", "milvus-validation")["data"]
    assert "rules.yaml" in data
    assert "--rules=/etc/milvus-kit/rules.yaml" in pod(declared)["containers"][0]["command"]


def test_it_has_no_right_in_the_cluster_and_holds_no_secret(declared):
    assert pod(declared)["automountServiceAccountToken"] is False
    assert not declared.of("Role")
    assert not declared.of("ServiceAccount")
    text = str(shown(declared.one("ConfigMap", "milvus-validation"))) + str(pod(declared))
    assert not any(secret in text for secret in CONFIG.values())


def test_it_runs_once_and_after_everything_it_validates(declared):
    job = declared.of("Job")["milvus-validation"]
    assert job.inputs["spec"]["backoffLimit"] == 0
    assert {"milvus-proxy-started", "milvus"} <= set(job.depends_on)


@pytest.mark.parametrize("profile", ["smoke", "acceptance", "soak"])
def test_it_has_as_long_as_its_profile_needs(profile):
    document = changed(DEV, validation={"enabled": True, "profile": profile})
    spec = declare(document).of("Job")["milvus-validation"].inputs["spec"]
    assert spec["activeDeadlineSeconds"] > 2 * PROFILES[profile].offered_seconds


def test_a_changed_rule_makes_a_new_run(tmp_path):
    rules = tmp_path / "rules.yaml"
    found = []
    for most in (1, 2):
        rules.write_text(RULES.format(most), encoding="utf-8")
        document = changed(DEV, validation={"enabled": True, "rules": str(rules)})
        template = shown(declare(document).workloads()["Job/milvus-validation"])
        found.append(template["metadata"]["annotations"]["milvus-kit/configuration"])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("section", "again"),
    [
        ({"milvus": {"logLevel": "warn"}}, True),
        ({"etcd": {"resources": {"cpu": "2", "memory": "3Gi"}}}, True),
        ({"observability": {"dashboard": True}}, False),
    ],
)
def test_a_changed_setting_of_milvus_makes_a_new_job_and_another_one_does_not(section, again):
    enabled = {"validation": {"enabled": True}}
    found = [
        shown(declare(changed(DEV, **enabled, **more)).workloads()["Job/milvus-validation"])
        for more in ({}, section)
    ]
    assert (found[0] != found[1]) is again


def test_rules_are_looked_for_beside_the_stacks():
    document = changed(DEV, validation={"enabled": True, "rules": "local.slo.yaml"})
    data = declare(document).one("ConfigMap", "milvus-validation")["data"]
    beside = lock_file().parent / "local.slo.yaml"
    assert data["rules.yaml"] == beside.read_text(encoding="utf-8")


def test_rules_that_the_settings_name_judge_the_stack_from_outside_too():
    document = changed(DEV, validation={"enabled": True, "rules": "local.slo.yaml"})
    outside, _ = stack_and_job(document)
    assert rules_file(outside.name, outside.rules) == lock_file().parent / "local.slo.yaml"


def test_a_stack_without_rules_of_its_own_takes_those_that_hold_for_any_along():
    declared = declare(changed(DEV, validation={"enabled": True}), stack="unheard-of")
    data = declared.one("ConfigMap", "milvus-validation")["data"]
    default = lock_file().parent / "default.slo.yaml"
    assert data["rules.yaml"] == default.read_text(encoding="utf-8")


def test_rules_that_could_judge_nothing_are_refused_before_anything_is_deployed(tmp_path):
    (tmp_path / "rules.yaml").write_text("a: 1\n", encoding="utf-8")
    document = changed(DEV, validation={"rules": str(tmp_path / "rules.yaml")})
    with pytest.raises(ConfigurationError, match="a: unknown key"):
        declare(document)


@pytest.mark.parametrize("enabled", [True, False])
def test_rules_that_are_not_there_are_named(enabled):
    document = changed(DEV, validation={"enabled": enabled, "rules": "/nowhere/rules.yaml"})
    with pytest.raises(ConfigurationError, match="cannot read the rules"):
        declare(document)


@pytest.fixture
def storage():
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    contract = Storage(
        provider="emulator",
        endpoint=f"http://{host}:{port}",
        bucket="milvus",
        access_key=SecretRef(env="TEST_S3_KEY"),
        secret_key=SecretRef(env="TEST_S3_KEY"),
    )
    yield contract
    running.stop()


@pytest.fixture
def bucket(storage, monkeypatch):
    # One process has one emulator, whatever the number of its servers.
    httpx.post(f"{storage.endpoint}/moto-api/reset").raise_for_status()
    monkeypatch.setenv("TEST_S3_KEY", "planted")
    connect(storage).create_bucket(Bucket="milvus")
    return connect(storage)


def make_run(folder, name: str):
    run = folder / name
    (run / "parts").mkdir(parents=True)
    (run / LAST).write_text('{"run": "' + name + '"}', encoding="utf-8")
    (run / "parts" / "a.json").write_text("{}", encoding="utf-8")
    return run


@pytest.mark.usefixtures("bucket")
def test_a_run_comes_back_from_the_bucket_as_it_went_in(storage, tmp_path):
    run = make_run(tmp_path / "there", "20260101T000000Z-prod")
    keys = upload(run, storage, "results")
    assert keys[-1] == "results/20260101T000000Z-prod/results.json"
    fetched = fetch(storage, "results", tmp_path / "here")
    names = ("results.json", "parts/a.json")
    assert [(fetched / name).read_bytes() for name in names] == [
        (run / name).read_bytes() for name in names
    ]


def test_the_newest_whole_run_is_fetched_and_a_broken_upload_is_no_run(storage, bucket, tmp_path):
    for name in ("20260101T000000Z-prod", "20260102T000000Z-prod"):
        upload(make_run(tmp_path / "there", name), storage, "results")
    bucket.put_object(Bucket="milvus", Key="results/20260103T000000Z-prod/a.json", Body=b"{}")
    assert stored_runs(storage, "results")[-1] == "20260102T000000Z-prod"
    assert fetch(storage, "results", tmp_path / "here").name == "20260102T000000Z-prod"


def test_a_run_is_not_the_last_once_the_job_has_begun_another(
    storage, bucket, tmp_path, monkeypatch
):
    name = "20260101T000000Z-prod"
    upload(make_run(tmp_path / "there", name), storage, "results")
    require_last(storage, "results", "prod", name)  # of a release that did not tell
    for begun in ("20251231T235959Z", "20260101T000000Z"):
        monkeypatch.setattr("validation.runs.in_bucket.stamp", lambda begun=begun: begun)
        begin(storage, "results", "prod")
        require_last(storage, "results", "prod", name)
    monkeypatch.setattr("validation.runs.in_bucket.stamp", lambda: "20260101T000001Z")
    begin(storage, "results", "another")
    require_last(storage, "results", "prod", name)
    begin(storage, "results", "prod")
    with pytest.raises(ConfigurationError, match=rf"has not come through(?s:.*)--run {name}"):
        require_last(storage, "results", "prod", name)
    assert stored_runs(storage, "results") == [name]
    assert bucket.get_object(Bucket="milvus", Key="results/prod.begun")


def test_the_job_tells_that_it_begins_before_anything_can_fail(
    storage, bucket, tmp_path, monkeypatch
):
    def fails(*_):
        raise UnreachableError("Milvus does not answer")

    monkeypatch.setattr(in_cluster.session, "validate", fails)
    milvus = targets.Milvus(uri="http://127.0.0.1:1")
    target = targets.Target(name="prod", milvus=milvus, storage=storage)
    targets.save(target, tmp_path / "target.yaml")
    given = {"target": tmp_path / "target.yaml", "prefix": "results", "runs": tmp_path / "runs"}
    code = in_cluster.main([f"--{name}={value}" for name, value in given.items()])
    assert code == UnreachableError.exit_code
    assert bucket.get_object(Bucket="milvus", Key="results/prod.begun")


def test_a_file_that_would_leave_the_runs_folder_is_refused(storage, bucket, tmp_path):
    upload(make_run(tmp_path / "there", "20260101T000000Z-prod"), storage, "results")
    key = "results/20260101T000000Z-prod/../../escaped"
    bucket.put_object(Bucket="milvus", Key=key, Body=b"x")
    with pytest.raises(ConfigurationError, match="strange name"):
        fetch(storage, "results", tmp_path / "here")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.usefixtures("bucket")
def test_every_run_in_the_bucket_is_read_and_what_is_none_is_named(storage, tmp_path):
    wanted = [build(tmp_path / f"2026010{day}T000000Z-prod").verdict for day in (1, 2)]
    for folder in sorted(tmp_path.iterdir()):
        upload(folder, storage, "results")
    upload(make_run(tmp_path, "20260103T000000Z-prod"), storage, "results")
    found, left_out = read_all(storage, "results")
    assert [one.verdict for one in found] == wanted
    assert len(left_out) == 1
    assert left_out[0].startswith("20260103T000000Z-prod: these are not results")
    with pytest.raises(ConfigurationError, match="no run in the bucket"):
        read_all(storage, "elsewhere")


@pytest.mark.usefixtures("bucket")
def test_no_run_in_the_bucket_says_what_to_do(storage, tmp_path):
    with pytest.raises(ConfigurationError, match=r"validation\.enabled"):
        fetch(storage, "results", tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (None, "name", "dev"),
        ("milvus", "version", "2.3.3"),
        ("milvus", "deployment", "standalone"),
        ("milvus", "wal", "rocksmq"),
        ("milvus", "roles", []),
        ("milvus", "tls", {"mode": "off"}),
        ("storage", "bucket", "another"),
        ("storage", "root_path", "another"),
    ],
)
def test_a_run_of_another_stack_or_of_what_was_declared_before_proves_nothing(
    declared, section, key, value
):
    data = declared.one("ConfigMap", "milvus-validation")["data"]
    target = targets.parse(yaml.safe_load(data["target.yaml"]), source="the Job")
    require_of(target, "now", [target.document()])
    other = target.document()
    (other[section] if section else other)[key] = value
    with pytest.raises(
        ConfigurationError, match=rf"(?s)another (\w+\.)?{key}.* than .*--run other"
    ):
        require_of(target, "other", [other])


@pytest.mark.parametrize("document", [DEV, CLUSTER_23], ids=["dev", "cluster-2.3"])
def test_the_job_and_the_stacks_output_tell_the_same_deployment(document):
    declared, results = stack_and_job(changed(document, validation={"enabled": True}))
    require_of(declared, "now", [results])


@pytest.mark.parametrize("key", ["rules", "profile", "image"])
def test_a_run_from_before_rules_profile_or_image_changed_is_not_taken_for_the_newest(
    key, tmp_path
):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(1), encoding="utf-8")
    _, before = stack_and_job(changed(DEV, validation={"enabled": True, "rules": str(rules)}))
    later: dict = {"enabled": True, "rules": str(rules)}
    if key == "rules":
        rules.write_text(RULES.format(2), encoding="utf-8")
    else:
        later[key] = {"profile": "acceptance", "image": "registry.example.com/kit:2"}[key]
    declared, after = stack_and_job(changed(DEV, validation=later))
    require_of(declared, "now", [after])
    with pytest.raises(ConfigurationError, match=r"(?s)another Job than.*--run old"):
        require_of(declared, "old", [before])


def stack_and_job(document) -> tuple[targets.Target, dict]:
    """Return the stack's target, and the target in the results of the Job that it declares."""
    found: list[dict] = []
    settings = settings_of(document)
    made = run(lambda: program.build(settings, "one").apply(found.append), stack="one")
    data = made.one("ConfigMap", "milvus-validation")["data"]
    inside = targets.parse(yaml.safe_load(data["target.yaml"]), source="the Job")
    return targets.parse(found[0], source="the stack"), inside.document()


def test_its_target_differs_from_the_stacks_only_in_how_all_is_reached():
    stack, document = stack_and_job(changed(ENABLED, etcd={"spread": "preferred"}))
    inside = targets.parse(document, source="the Job")
    assert inside.milvus.auth is not None
    reached = {"uri", "metrics_uri", "tls", "auth"}
    same = stack.milvus.model_dump(exclude=reached)
    assert inside.milvus.model_dump(exclude=reached) == same
    assert stack.storage is not None
    assert inside.storage is not None
    reached = {"endpoint", "tls", "access_key", "secret_key"}
    same = stack.storage.model_dump(exclude=reached)
    assert inside.storage.model_dump(exclude=reached) == same
    assert (inside.name, inside.configuration) == (stack.name, stack.configuration)


def test_its_target_says_what_a_reader_must_know_but_not_how_to_come_in():
    stack, document = stack_and_job(changed(ENABLED, etcd={"spread": "preferred"}))
    inside = targets.parse(document, source="the Job")
    assert any("may share a host" in note for note in inside.notes)
    assert set(inside.notes) < set(stack.notes)
    assert not any("from inside the cluster" in note for note in inside.notes)
