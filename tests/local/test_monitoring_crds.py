"""A real API server takes the objects for Prometheus by the operator's own definitions of them."""

from __future__ import annotations

import copy
import json

import pytest

from tests.e2e.toolchain import parts
from tests.e2e.toolchain.gobuild import module_folder
from tests.e2e.toolchain.provide import provide_part
from tests.infra.declaring import PROD, changed, declare
from tests.local import kube_api
from validation.common.progress import Progress

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(3600)]

OPERATOR = ("github.com/prometheus-operator/prometheus-operator", "v0.85.0")
CRDS = "example/prometheus-operator-crd/monitoring.coreos.com_"
KINDS = {"PodMonitor", "PrometheusRule"}
STRICT = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory):
    kubernetes, etcd = (provide_part(part, Progress()) for part in (parts.KUBERNETES, parts.ETCD))
    folder = tmp_path_factory.mktemp("api")
    with kube_api.running(kubernetes, etcd / "etcd", folder) as found:
        for name in ("podmonitors", "prometheusrules"):
            crd = module_folder(*OPERATOR) / f"{CRDS}{name}.yaml"
            made = found("apply", "--server-side", "-f", str(crd))
            assert made.returncode == 0, made.stderr
            wait = ("wait", "--for=condition=Established", f"crd/{name}.monitoring.coreos.com")
            assert found(*wait, "--timeout=60s").returncode == 0
        assert found("create", "namespace", "ns").returncode == 0
        yield found


@pytest.fixture(scope="module")
def declared():
    document = changed(PROD, observability={"podMonitors": True, "alerts": True})
    return [one for one in declare(document).kubernetes() if one["kind"] in KINDS]


def test_every_object_for_prometheus_is_taken(kubectl, declared):
    assert {one["kind"] for one in declared} == KINDS
    for one in declared:
        done = kubectl(*STRICT, given=json.dumps(one))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_field_that_the_operator_does_not_know_is_refused(kubectl, declared, kind):
    wrong = copy.deepcopy(next(one for one in declared if one["kind"] == kind))
    wrong["spec"]["planted"] = True
    done = kubectl(*STRICT, given=json.dumps(wrong))
    assert done.returncode != 0
    assert "planted" in done.stderr
