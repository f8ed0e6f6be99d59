from __future__ import annotations

import datetime as dt

import boto3
import httpx
import pytest
import yaml
from declaring import DEV, PROD, changed, declare, run, settings_of, shown

from infra import program
from infra.milvus.dependencies import snapshot_fetch, snapshot_upload
from validation.errors import ConfigurationError


def container(declared, kind: str = "StatefulSet", name: str = "etcd") -> dict:
    return shown(declared.workloads()[f"{kind}/{name}"])["spec"]["containers"][0]


def flags(declared) -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in container(declared)["args"])


def test_one_member_for_development_speaks_plainly_and_alone():
    declared = declare(DEV)
    assert flags(declared)["--initial-cluster"] == ("etcd-0=http://etcd-0.etcd.ns.svc:2380")
    assert "--cert-file" not in flags(declared)
    assert "etcd" not in declared.of("PodDisruptionBudget")


def test_three_members_know_each_other_and_refuse_clients_without_a_certificate():
    declared = declare(PROD)
    found = flags(declared)
    members = found["--initial-cluster"].split(",")
    assert members == [f"etcd-{n}=https://etcd-{n}.etcd.ns.svc:2380" for n in range(3)]
    assert found["--client-cert-auth"] == found["--peer-client-cert-auth"] == "true"
    assert found["--trusted-ca-file"] == "/etc/etcd/tls/ca.crt"
    assert declared.one("PodDisruptionBudget", "etcd")["spec"]["maxUnavailable"] == 1


def test_two_members_never_share_a_host_in_production():
    spec = shown(declare(PROD).workloads()["StatefulSet/etcd"])["spec"]
    rules = spec["affinity"]["podAntiAffinity"]
    (term,) = rules["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"


def test_a_stack_may_put_them_on_one_host_and_its_target_says_so():
    alone = changed(PROD, etcd={"spread": "preferred"})
    spec = shown(declare(alone).workloads()["StatefulSet/etcd"])["spec"]
    assert list(spec["affinity"]["podAntiAffinity"]) == [
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    found: dict[str, list] = {}
    for name, document in {"alone": alone, "apart": PROD}.items():
        settings = settings_of(document)
        run(
            lambda settings=settings, name=name: program.build(settings, "test").apply(
                lambda one: found.setdefault(name, one["notes"])
            )
        )
    assert any("may share a host" in note for note in found["alone"])
    assert not any("may share a host" in note for note in found["apart"])


def test_members_certificates_name_each_member_and_clients_certificates_name_nobody():
    declared = declare(PROD)
    found = {item.name: item.inputs for item in declared.resources if item.kind == "Certificate"}
    assert {f"etcd-{n}.etcd.ns.svc" for n in range(3)} <= set(found["etcd-tls"]["hosts"])
    assert not any("*" in host for host in found["etcd-tls"]["hosts"])
    assert found["etcd-client-tls"]["hosts"] == []
    assert found["etcd-tls"]["client"] is found["etcd-client-tls"]["client"] is True


def test_a_lost_quorum_makes_members_unready_but_does_not_restart_them():
    found = container(declare(PROD))
    assert found["livenessProbe"]["httpGet"]["path"] == "/health?serializable=true"
    assert found["readinessProbe"]["httpGet"]["path"] == "/health"


def test_authentication_without_tls_is_refused():
    with pytest.raises(ConfigurationError, match="authenticates its clients by certificate"):
        declare(changed(DEV, etcd={"auth": True, "tls": False}))


def test_data_is_kept_or_goes_with_the_stack_as_the_settings_say():
    kept = declare(PROD).one("StatefulSet", "etcd")["spec"]
    gone = declare(DEV).one("StatefulSet", "etcd")["spec"]
    assert kept["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert gone["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"


def test_snapshots_are_taken_checked_and_uploaded_without_a_shell():
    declared = declare(PROD)
    spec = declared.one("CronJob", "etcd-snapshot")["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("17 */6 * * *", "Forbid")
    pod = shown(declared.workloads()["CronJob/etcd-snapshot"])["spec"]
    take, check = pod["initContainers"]
    (upload,) = pod["containers"]
    assert take["command"][0] == "etcdctl"
    assert "--cert=/etc/etcd/client/tls.crt" in take["command"]
    # All members by one name: with the first of them away there is a snapshot all the same.
    assert "--endpoints=https://etcd.ns.svc:2379" in take["command"]
    assert check["command"][:3] == ["etcdutl", "snapshot", "status"]
    assert upload["command"][:3] == ["python", "-m", "infra.milvus.dependencies.snapshot_upload"]
    assert "--hours=24" in upload["command"]
    assert {item["name"] for item in upload["env"]} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert "CronJob/etcd-snapshot" not in declare(DEV).workloads()


def test_a_restore_is_there_for_each_member_and_runs_only_when_it_is_asked_for():
    declared = declare(PROD)
    started = flags(declared)
    for n in range(3):
        name = f"etcd-restore-etcd-{n}"
        assert declared.one("CronJob", name)["spec"]["suspend"] is True
        pod = shown(declared.workloads()[f"CronJob/{name}"])["spec"]
        (fetch,), (restore,) = pod["initContainers"], pod["containers"]
        assert "--data=/var/lib/etcd/data" in fetch["command"]
        assert restore["command"][:4] == ["etcdutl", "snapshot", "restore", "/snapshot/etcd.db"]
        told = dict(argument.split("=", 1) for argument in restore["command"][4:])
        # A member that was restored under another name or cluster would not find the others.
        assert told == {
            key: started[key].replace("$(POD_NAME)", f"etcd-{n}")
            for key in (
                "--name",
                "--data-dir",
                "--initial-advertise-peer-urls",
                "--initial-cluster",
                "--initial-cluster-token",
            )
        }
        (claim,) = (one for one in pod["volumes"] if one["name"] == "data")
        assert claim["persistentVolumeClaim"]["claimName"] == f"data-etcd-{n}"


@pytest.mark.parametrize("hours", [24, 168])
def test_files_that_a_snapshot_names_stay_as_long_as_the_snapshot(hours):
    declared = declare(changed(PROD, etcd={"snapshots": {"hours": hours}}))
    found = yaml.safe_load(declared.one("ConfigMap", "milvus-mixcoord")["data"]["user.yaml"])
    assert found["dataCoord"]["gc"]["dropTolerance"] >= hours * 3600
    (upload,) = shown(declared.workloads()["CronJob/etcd-snapshot"])["spec"]["containers"]
    assert f"--hours={hours}" in upload["command"]


def test_without_snapshots_milvus_removes_files_when_it_means_to():
    declared = declare(changed(PROD, etcd={"snapshots": None}))
    found = yaml.safe_load(declared.one("ConfigMap", "milvus-mixcoord")["data"]["user.yaml"])
    assert "gc" not in found["dataCoord"]


def test_nobody_else_says_how_long_files_stay_that_snapshots_name():
    own = {"dataCoord": {"gc": {"dropTolerance": 60}}}
    with pytest.raises(ConfigurationError, match="the kit writes this key"):
        settings_of(changed(PROD, milvus={"configuration": own}))
    settings_of(changed(DEV, milvus={"configuration": own}))


@pytest.fixture
def store(monkeypatch):
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="milvus")
    yield endpoint, client
    running.stop()


def keys(client) -> list[str]:
    found = client.list_objects_v2(Bucket="milvus").get("Contents", [])
    return sorted(item["Key"] for item in found)


def named(hours_ago: float) -> str:
    taken = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours_ago)
    return f"snap/etcd-{taken:%Y%m%dT%H%M%S}Z.db"


def test_the_uploader_keeps_what_is_young_enough_and_touches_nothing_of_others(
    store, tmp_path, capsys
):
    endpoint, client = store
    young, *old = [named(hours) for hours in (1.9, 2.1, 500)]
    for key in (young, *old):
        client.put_object(Bucket="milvus", Key=key, Body=b"old")
    for key in (
        "snap/notes.txt",
        "snap/etcd-20200101T000000Z.db.kept",
        "snap/other/etcd-x.db",
        "files/insert_log/1",
    ):
        client.put_object(Bucket="milvus", Key=key, Body=b"not ours")
    file = tmp_path / "etcd.db"
    file.write_bytes(b"snapshot" * 1000)
    code = snapshot_upload.main(
        [
            f"--file={file}",
            f"--endpoint={endpoint}",
            "--region=us-east-1",
            "--bucket=milvus",
            "--prefix=snap",
            "--hours=2",
        ]
    )
    assert code == 0
    left = keys(client)
    assert young in left
    assert not set(old) & set(left)
    assert {
        "snap/notes.txt",
        "snap/etcd-20200101T000000Z.db.kept",
        "snap/other/etcd-x.db",
        "files/insert_log/1",
    } <= set(left)
    newest = next(key for key in reversed(left) if key.endswith("Z.db"))
    body = client.get_object(Bucket="milvus", Key=newest)["Body"].read()
    assert body == file.read_bytes()
    assert "removed 2" in capsys.readouterr().out


def test_a_snapshot_that_arrived_short_removes_nothing(store, tmp_path, monkeypatch):
    endpoint, client = store
    client.put_object(Bucket="milvus", Key="snap/etcd-20260101T000000Z.db", Body=b"old")
    file = tmp_path / "etcd.db"
    file.write_bytes(b"snapshot")

    class Short:
        def upload_file(self, _file, bucket, key):
            client.put_object(Bucket=bucket, Key=key, Body=b"snap")

        def __getattr__(self, name):
            return getattr(client, name)

    monkeypatch.setattr(snapshot_upload.boto3, "client", lambda *_, **__: Short())
    arguments = [f"--file={file}", f"--endpoint={endpoint}", "--region=us-east-1"]
    with pytest.raises(RuntimeError, match="4 bytes stored, 8 sent"):
        snapshot_upload.main([*arguments, "--bucket=milvus", "--prefix=snap", "--hours=1"])
    assert "snap/etcd-20260101T000000Z.db" in keys(client)


def test_a_restore_takes_the_newest_snapshot_and_moves_what_was_there_aside(store, tmp_path):
    endpoint, client = store
    for hours, body in ((1, b"newest"), (2, b"older")):
        client.put_object(Bucket="milvus", Key=named(hours), Body=body)
    data = tmp_path / "data"
    data.mkdir()
    (data / "member").write_text("lost")
    arguments = [f"--endpoint={endpoint}", "--region=us-east-1", "--bucket=milvus"]
    arguments += [f"--file={tmp_path / 'etcd.db'}", f"--data={data}"]
    assert snapshot_fetch.main([*arguments, "--prefix=snap"]) == 0
    assert (tmp_path / "etcd.db").read_bytes() == b"newest"
    assert not data.exists()
    assert [one.read_text() for one in tmp_path.glob("before-*/member")] == ["lost"]


def test_without_a_snapshot_a_restore_leaves_what_is_there(store, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    arguments = [f"--endpoint={store[0]}", "--region=us-east-1", "--bucket=milvus"]
    arguments += [f"--file={tmp_path / 'etcd.db'}", f"--data={data}"]
    assert snapshot_fetch.main([*arguments, "--prefix=snap"]) == 1
    assert data.exists()
    assert "s3://milvus/snap/ holds no snapshot" in capsys.readouterr().out
