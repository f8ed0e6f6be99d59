import base64
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.builders import START, build
from validation import cli
from validation.across.earlier import Earlier, Run
from validation.certificate import FILE, envelopes, waivers
from validation.certificate.keys import PASSPHRASE, public, signer
from validation.certificate.making import certified, countersigned
from validation.certificate.statements import ACCEPTANCE, SVR, TEST_RESULT, canonical, statements
from validation.certificate.verification import verify
from validation.common import image
from validation.errors import (
    CertificateError,
    ConfigurationError,
    ExitCode,
    MilvusKitError,
    UsageError,
)
from validation.report import html
from validation.report.results import State
from validation.report.store import HISTORY, read_results, write_results
from validation.selftest.record import Planted, SelfTest
from validation.verdicts.verdict import Outcome

TODAY = date(2026, 11, 30)
EXPIRES = date(2999, 1, 1)
WAIVERS = """
schema: milvus-kit/waivers/1
waivers:
  - {gate: data.complete, reason: known loss of the demo, owner: jo, expires: EXPIRES}
"""


@dataclasses.dataclass
class Keys:
    private: Path
    public: Path


def make_keys(folder, name, passphrase=None):
    key = Ed25519PrivateKey.generate()
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private, shared = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    shared.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return Keys(private, shared)


@pytest.fixture
def vendor(tmp_path):
    return make_keys(tmp_path, "vendor")


@pytest.fixture
def customer(tmp_path):
    return make_keys(tmp_path, "customer")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run that passed and one that lost rows, each with its report."""
    base = tmp_path_factory.mktemp("runs")
    for name, missing in (("run", 0), ("failing", 3)):
        build(base / name, missing_rows=missing)
        before = Run(run="before", started=START, verdict=Outcome.FAIL)
        (base / name / HISTORY).write_text(Earlier(runs=(before,)).model_dump_json(by_alias=True))
        html.render(base / name)
    return base


@pytest.fixture
def run(runs, tmp_path):
    return shutil.copytree(runs / "run", tmp_path / "run")


@pytest.fixture
def failed(runs, tmp_path):
    return shutil.copytree(runs / "failing", tmp_path / "failing")


def certify(run, *keys, waived=None, selftest=None):
    signers = [signer(str(key.private)) for key in keys]
    return certified(run, signers, waivers=waived, selftest=selftest)


def check(run, *keys, today=TODAY):
    return verify(run / FILE, run, [public(key.public) for key in keys], today=today)


def selftest_file(run, tmp_path, noticed=21, **changes):
    """Write what a selftest of 21 faults found, and return the file."""
    results = read_results(run)
    faults = tuple(
        Planted(
            faults=(f"fault-{at}",),
            story="rows are lost",
            server="local",
            scene="data",
            calls=1,
            wanted={"red": ("data.complete",)},
            seen={},
            noticed=at < noticed,
            exact=at < noticed,
            busy=False,
            said="",
            seconds=1,
        )
        for at in range(21)
    )
    found = SelfTest(
        run="20260314T092653Z-selftest",
        kit_version=results.kit_version,
        started=START,
        finished=START,
        profile="selftest",
        host=results.host,
        rules_source="local.slo.yaml",
        servers={"local": "2.3.5"},
        planted=21,
        noticed=noticed,
        exact=noticed,
        faults=faults,
        together=(),
        unplanted={},
    )
    path = tmp_path / "selftest.json"
    path.write_text(json.dumps(found.model_dump(mode="json", by_alias=True) | changes))
    return path


def payloads(run):
    lines = (run / FILE).read_text().splitlines()
    found = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines]
    return {statement["predicateType"]: statement for statement in found}


def waivers_file(tmp_path, expires=EXPIRES, text=WAIVERS):
    path = tmp_path / "waivers.yaml"
    path.write_text(text.replace("EXPIRES", str(expires)))
    return path


def test_a_run_that_passed_is_certified_and_verified(run, vendor):
    assert certify(run, vendor).result == "PASSED"
    verified = check(run, vendor)
    assert verified.result == "PASSED"
    found = payloads(run)
    assert found[TEST_RESULT]["predicate"]["result"] == "PASSED"
    assert found[TEST_RESULT]["predicate"]["failedTests"] == []
    names = {subject["name"] for subject in found[SVR]["subject"]}
    assert {"results.json", "report.html", "profile:smoke", "target:local"} <= names
    assert sum(name.startswith("samples/") for name in names) > 5
    assert "local: recall.hnsw[index=HNSW]" in found[SVR]["predicate"]["properties"]


def test_each_gate_has_rule_figure_interval_and_margin(run, vendor):
    certify(run, vendor)
    gates = {gate["name"]: gate for gate in payloads(run)[ACCEPTANCE]["predicate"]["gates"]}
    gate = gates["local: recall.hnsw[index=HNSW]"]
    assert gate["rule"] == {"min": 0.95, "statistic": "proportion", "unit": "ratio"}
    assert gate["margin"] == pytest.approx(gate["interval"][0] - 0.95)
    assert gate["margin"] > 0


def test_the_kill_rate_of_the_selftest_is_part_of_what_is_signed(run, vendor, tmp_path):
    stated = selftest_file(run, tmp_path)
    lines = "\n".join(certify(run, vendor, selftest=stated).lines())
    assert "21 of 21 planted faults were noticed" in lines
    assert check(run, vendor).acceptance["selftest"] == json.loads(stated.read_text())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kit_version": "0.0.9"}, "of another suite"),
        ({"exact": 20}, "exact says 20, its faults say 21"),
        ({"planted": 99}, "planted says 99"),
        ({"schema": "milvus-kit/selftest/2"}, "made by a newer kit"),
        ({"faults": None}, "not what a selftest found"),
    ],
)
def test_a_selftest_that_does_not_say_how_well_this_very_suite_finds_faults_is_refused(
    run, vendor, tmp_path, changes, why
):
    with pytest.raises(ConfigurationError, match=why):
        certify(run, vendor, selftest=selftest_file(run, tmp_path, **changes))
    assert not (run / FILE).exists()


def test_a_certificate_without_a_selftest_says_so(run, vendor):
    assert "not stated" in "\n".join(certify(run, vendor).lines())


def test_what_failed_is_certified_as_failed(failed, vendor):
    made = certify(failed, vendor)
    assert (made.result, made.exit_code) == ("FAILED", ExitCode.FAIL)
    assert payloads(failed)[TEST_RESULT]["predicate"]["failedTests"] == ["local: data.complete"]
    assert check(failed, vendor).result == "FAILED"


def test_what_was_inconclusive_is_certified_as_failed(tmp_path, vendor):
    folder = tmp_path / "saturated"
    build(folder, saturated=True)
    assert certify(folder, vendor).result == "FAILED"


def test_a_waived_gate_warns_and_is_never_shown_as_pass(failed, tmp_path, vendor):
    made = certify(failed, vendor, waived=waivers_file(tmp_path))
    assert (made.result, made.exit_code) == ("WARNED", ExitCode.PASS)
    body = payloads(failed)[TEST_RESULT]["predicate"]
    assert body["result"] == "WARNED"
    assert body["warnedTests"] == ["local: data.complete"]
    assert "local: data.complete" not in payloads(failed)[SVR]["predicate"]["properties"]
    lines = "\n".join(made.lines())
    assert "waived: local: data.complete: fail" in lines
    assert "until 2999-01-01, jo: known loss of the demo" in lines


def test_an_expired_waiver_fails(failed, tmp_path, vendor):
    made = certify(failed, vendor, waived=waivers_file(tmp_path, date(2020, 1, 1)))
    assert made.result == "FAILED"


def test_a_waiver_that_expires_after_the_signature_fails_from_then_on(failed, tmp_path, vendor):
    certify(failed, vendor, waived=waivers_file(tmp_path))
    verified = check(failed, vendor, today=EXPIRES + timedelta(days=1))
    assert verified.result == "FAILED"
    assert [one.gate for one in verified.lapsed] == ["data.complete"]


def test_a_run_that_was_cut_short_cannot_be_waived(tmp_path, vendor):
    folder = tmp_path / "interrupted"
    build(folder, missing_rows=3, state=State.INTERRUPTED, reason="interrupted by the user")
    assert certify(folder, vendor, waived=waivers_file(tmp_path)).result == "FAILED"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (WAIVERS.replace("data.complete", "data.compleet"), "names no gate"),
        (WAIVERS.replace("data.complete", "recall.hnsw"), "gate that passed"),
        (WAIVERS.replace(", owner: jo", ""), "owner"),
        (WAIVERS.replace("EXPIRES", "soon"), "expires"),
        ("waivers: []", "schema"),
    ],
)
def test_waivers_that_say_nothing_are_refused(failed, tmp_path, vendor, text, word):
    with pytest.raises(ConfigurationError, match=word):
        certify(failed, vendor, waived=waivers_file(tmp_path, text=text))
    assert not (failed / FILE).exists()


def test_two_parties_sign_and_each_signature_is_asked_for(run, vendor, customer):
    certify(run, vendor)
    with pytest.raises(CertificateError, match="none of its 1 signatures is that of key 2"):
        check(run, vendor, customer)
    countersigned(run, [signer(str(customer.private))], waivers=None, selftest=None)
    assert check(run, vendor, customer).result == "PASSED"
    assert check(run, customer).result == "PASSED"


def test_a_countersignature_is_not_given_to_a_run_that_was_changed(run, vendor, customer):
    certify(run, vendor)
    change_sample(run)
    with pytest.raises(CertificateError):
        countersigned(run, [signer(str(customer.private))], waivers=None, selftest=None)


def test_a_certificate_is_not_written_over(run, vendor):
    certify(run, vendor)
    with pytest.raises(UsageError, match="already"):
        certify(run, vendor)


def change_sample(run):
    path = next((run / "samples").glob("*search.latency.serial*"))
    lines = path.read_text().splitlines()
    lines[1] = "0.5" + lines[1][lines[1].find(",") :] if "," in lines[1] else "0.5"
    path.write_text("\n".join(lines) + "\n")


def change_report(run):
    (run / "report.html").write_text((run / "report.html").read_text() + " ")


def change_history(run):
    (run / HISTORY).write_text((run / HISTORY).read_text().replace("fail", "pass"))


def change_results(run, change):
    found = json.loads((run / "results.json").read_text())
    change(found)
    (run / "results.json").write_text(json.dumps(found))


def loosen_rule(found):
    rule = next(rule for rule in found["rules"] if rule["gate"] == "recall.hnsw")
    rule["min"] = 0.5


def better_figure(found):
    gate = next(gate for gate in found["gates"] if gate["gate"] == "recall.hnsw")
    gate["observed"] = 1.0


def drop_gate(found):
    found["gates"] = [gate for gate in found["gates"] if gate["gate"] != "recall.hnsw"]


def other_server(found):
    found["servers"]["local"]["version"] = "v3.0.1"


@pytest.mark.parametrize(
    "tamper",
    [
        change_sample,
        change_report,
        change_history,
        lambda run: change_results(run, loosen_rule),
        lambda run: change_results(run, better_figure),
        lambda run: change_results(run, drop_gate),
        lambda run: change_results(run, other_server),
        lambda run: next((run / "samples").glob("*.csv")).unlink(),
        lambda run: (run / "report.html").unlink(),
        lambda run: (run / HISTORY).unlink(),
    ],
    ids=[
        "sample",
        "report",
        "history",
        "rule",
        "figure",
        "gate",
        "server",
        "lost-sample",
        "lost-report",
        "lost-history",
    ],
)
def test_whatever_is_changed_in_the_run_is_noticed(run, vendor, tamper):
    certify(run, vendor)
    tamper(run)
    with pytest.raises(CertificateError):
        check(run, vendor)


def test_a_history_that_is_slipped_into_a_certified_run_is_noticed(run, vendor):
    kept = (run / HISTORY).read_text()
    (run / HISTORY).unlink()
    certify(run, vendor)
    check(run, vendor)
    (run / HISTORY).write_text(kept)
    with pytest.raises(CertificateError, match="not what was certified"):
        check(run, vendor)


def resealed(run, change):
    """Change what is signed and leave the signatures as they are."""
    lines = []
    for line in (run / FILE).read_text().splitlines():
        envelope = json.loads(line)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        envelope["payload"] = base64.b64encode(text.encode()).decode()
        lines.append(json.dumps(envelope))
    (run / FILE).write_text("\n".join(lines) + "\n")


def test_a_byte_a_waiver_or_a_kill_rate_changed_in_the_certificate_is_noticed(
    failed, tmp_path, vendor
):
    stated = selftest_file(failed, tmp_path, noticed=20)
    certify(failed, vendor, waived=waivers_file(tmp_path), selftest=stated)
    whole = (failed / FILE).read_bytes()

    def prolong(statement):
        for one in statement["predicate"].get("waivers", []):
            one["expires"] = "3999-01-01"

    def kill_all(statement):
        if statement["predicate"].get("selftest"):
            statement["predicate"]["selftest"]["noticed"] = 21

    for change in (prolong, kill_all):
        resealed(failed, change)
        with pytest.raises(CertificateError, match="none of its 1 signatures"):
            check(failed, vendor)
        (failed / FILE).write_bytes(whole)
    assert check(failed, vendor).result == "WARNED"


def test_the_signer_itself_cannot_certify_other_verdicts_than_the_samples_give(run, vendor):
    """A statement that is validly signed and says too much."""
    results = read_results(run)
    bodies = statements(results, run, created="2026-11-30T00:00:00Z")
    bodies[1]["predicate"]["properties"].append("local: never measured")
    signers = [signer(str(vendor.private))]
    sealed = [envelopes.Envelope(canonical(one)).signed(signers) for one in bodies]
    envelopes.write(sealed, run / FILE)
    with pytest.raises(CertificateError, match="properties"):
        check(run, vendor)


def test_a_certificate_of_another_run_is_refused(run, failed, vendor):
    certify(run, vendor)
    shutil.copy(run / FILE, failed / FILE)
    with pytest.raises(CertificateError, match="not what was certified"):
        check(failed, vendor)


def test_a_missing_statement_is_noticed(run, vendor):
    certify(run, vendor)
    lines = (run / FILE).read_text().splitlines()
    (run / FILE).write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(CertificateError, match="statement is missing"):
        check(run, vendor)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON\n",
        b"[]\n",
        b'{"payload": "e30=", "payloadType": "x", "signatures": []}\n',
        b'{"payload": 3, "payloadType": "application/vnd.in-toto+json", "signatures": []}\n',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [1]}\n',
        b'{"payload": "!!", "payloadType": "application/vnd.in-toto+json", "signatures": []}\n',
        b"[" * 200_000 + b"\n",
        b"{}\n" * 100,
        b"\xff\xfe\n",
    ],
)
def test_a_hostile_file_is_refused_in_one_line(run, vendor, content):
    (run / FILE).write_bytes(content)
    with pytest.raises(CertificateError) as refused:
        check(run, vendor)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"created": "yesterday"},
        {"created": None},
        {"selftest": {"planted": 3}},
        {"selftest": [1]},
        {"selftest": {"planted": "many", "noticed": True}},
        {"waivers": [{"gate": "x"}]},
        {"waivers": 3},
    ],
)
def test_what_a_signer_could_write_in_place_of_a_fact_is_refused(run, vendor, change):
    certify(run, vendor)
    sign_again(run, vendor, change)
    with pytest.raises(CertificateError, match="lacks what this version reads"):
        check(run, vendor)


@pytest.mark.parametrize(
    "payload",
    [b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a": 1}', b"[]"],
)
def test_payloads_that_no_statement_has_are_refused(run, vendor, payload):
    signed = envelopes.Envelope(payload).signed([signer(str(vendor.private))])
    envelopes.write([signed], run / FILE)
    with pytest.raises(CertificateError):
        check(run, vendor)


def sign_again(run, vendor, change):
    """Write the certificate anew with its acceptance changed, as whoever has the key could."""
    made = []
    for kind, statement in payloads(run).items():
        if kind == ACCEPTANCE:
            statement["predicate"] |= change
        made.append(envelopes.Envelope(canonical(statement)).signed([signer(str(vendor.private))]))
    envelopes.write(made, run / FILE)


def test_names_and_reasons_steer_no_terminal(failed, tmp_path, vendor, capsys):
    waiver = waivers_file(tmp_path, text=WAIVERS.replace("jo", '"jo\\e[2J\\u202e"'))
    certify(failed, vendor, waived=waiver)
    with pytest.raises(SystemExit):
        cli.main(["verify", str(failed), "--key", str(vendor.public)])
    said = capsys.readouterr().out
    assert "jo\\u001b[2J\\u202e" in said
    assert not {"\x1b", "\u202e"} & set(said)


def test_a_message_about_a_strange_name_steers_no_terminal(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "runs/\x1b[2Jnone"])
    assert ended.value.code == ExitCode.USAGE
    assert "\x1b" not in capsys.readouterr().err


def test_a_huge_file_is_refused_unread(run, vendor):
    with (run / FILE).open("wb") as file:
        file.truncate(envelopes.LARGEST_BYTES + 1)
    with pytest.raises(CertificateError, match="no larger than"):
        check(run, vendor)


def test_samples_that_are_links_to_elsewhere_are_refused(run, vendor, tmp_path):
    certify(run, vendor)
    sample = next((run / "samples").glob("*.csv"))
    elsewhere = tmp_path / "elsewhere.csv"
    sample.rename(elsewhere)
    sample.symlink_to(elsewhere)
    with pytest.raises(CertificateError, match="outside its folder"):
        check(run, vendor)


PIPES = ("results.json", "report.html", HISTORY, FILE, "samples/*.csv")


@pytest.mark.parametrize("name", PIPES)
@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(run, vendor, capsys, name):
    certify(run, vendor)
    path = next(run.glob(name))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", str(run), "--key", str(vendor.public)])
    assert ended.value.code in {ExitCode.FAIL, ExitCode.USAGE}
    assert "PASSED" not in capsys.readouterr().out


def test_a_run_without_its_folder_is_told(run, vendor, tmp_path):
    certify(run, vendor)
    with pytest.raises(ConfigurationError):
        verify(run / FILE, tmp_path / "nowhere", [public(vendor.public)], today=TODAY)


def test_keys_come_from_a_file_or_the_environment_and_may_have_a_passphrase(
    tmp_path, run, monkeypatch
):
    keys = make_keys(tmp_path, "closed", b"open sesame")
    monkeypatch.setenv("SIGNING_KEY", keys.private.read_text())
    with pytest.raises(ConfigurationError, match="is encrypted"):
        signer("env:SIGNING_KEY")
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(ConfigurationError, match="passphrase"):
        signer(str(keys.private))
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    certified(run, [signer("env:SIGNING_KEY")], waivers=None, selftest=None)
    assert check(run, keys).result == "PASSED"


@pytest.mark.parametrize("given", ["nowhere.pem", "env:NO_SUCH_KEY", "hsm:x", "hsm:1?label="])
def test_a_key_that_is_not_there_is_told(given):
    with pytest.raises(ConfigurationError):
        signer(given)


def test_a_public_key_does_not_sign_and_a_private_one_is_not_trusted(vendor):
    with pytest.raises(ConfigurationError, match="no private key"):
        signer(str(vendor.public))
    with pytest.raises(ConfigurationError, match="no public key"):
        public(vendor.private)


def pae(payload_type, payload):
    """DSSE's pre-authentication encoding, written from its specification."""
    kind = payload_type.encode()
    return b" ".join(
        [b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload]
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on PATH")
def test_openssl_accepts_each_signature_and_refuses_a_changed_one(run, vendor, tmp_path):
    certify(run, vendor)
    for line in (run / FILE).read_text().splitlines():
        envelope = json.loads(line)
        payload = base64.b64decode(envelope["payload"])
        signed, signature = tmp_path / "signed", tmp_path / "signature"
        signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        for text, expected in ((payload, 0), (payload + b" ", 1)):
            signed.write_bytes(pae(envelope["payloadType"], text))
            done = subprocess.run(
                [
                    *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(vendor.public)),
                    *("-rawin", "-in", str(signed), "-sigfile", str(signature)),
                ],
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == expected


def test_the_commands_certify_and_verify(run, vendor, capsys):
    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        return ended.value.code, capsys.readouterr()

    code, said = command("certify", run, "--key", vendor.private)
    assert (code, said.out.splitlines()[-1].split()[0]) == (0, "PASSED")
    code, said = command("verify", run, "--key", vendor.public)
    assert (code, said.out.splitlines()[-1].split()[0]) == (0, "PASSED")
    change_sample(run)
    code, said = command("verify", run, "--key", vendor.public)
    assert code == ExitCode.FAIL
    assert "raw samples" in said.err


def test_the_waivers_of_a_file_are_read_with_all_their_mistakes_named(tmp_path):
    text = WAIVERS.replace(", owner: jo", "").replace("EXPIRES", "soon")
    with pytest.raises(MilvusKitError) as refused:
        waivers.load(waivers_file(tmp_path, text=text))
    assert "owner" in str(refused.value)
    assert "expires" in str(refused.value)


def test_lock_and_bill_of_the_image_that_measured_are_named(run, vendor):
    digests = {"requirements.lock": "a" * 64, "sbom.cdx.json": "b" * 64}
    results = read_results(run).model_copy(update={"kit_image": digests})
    write_results(run, results)
    certify(run, vendor)
    assert check(run, vendor).result == "PASSED"
    for statement in payloads(run).values():
        named = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
        assert named["milvus-kit:sbom.cdx.json"] == "b" * 64
    other = digests | {"sbom.cdx.json": "c" * 64}
    write_results(run, results.model_copy(update={"kit_image": other}))
    with pytest.raises(CertificateError):
        check(run, vendor)


def test_only_the_kit_of_an_image_tells_of_one(tmp_path, monkeypatch):
    assert image.digests() == {}
    monkeypatch.setattr(image, "ROOT", tmp_path)
    code = tmp_path / "lib" / "validation" / "common" / "image.py"
    assert image.digests(code) == {}
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "sbom.cdx.json").write_text("{}")
    assert image.digests(code) == {"sbom.cdx.json": hashlib.sha256(b"{}").hexdigest()}
    assert image.digests(tmp_path.parent / "elsewhere.py") == {}


def test_no_cloud_s_client_is_loaded_for_a_certificate_and_each_can_be_loaded_after():
    code = "import sys, validation.certificate.making; print('boto3' in sys.modules); import boto3"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
