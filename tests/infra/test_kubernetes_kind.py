"""A kind cluster is made, read and removed by the kind command; here a script stands for it."""

from __future__ import annotations

import pytest

from infra.kubernetes.kind import KindProvider
from validation.errors import MilvusKitError, MissingToolError, OwnershipError

PROPS = {"name": "k", "version": "1.36.3", "workers": 2.0, "kubeconfig": None}

# As kind does: a cluster is a name, its kubeconfig is told on stdout, messages go to stderr.
_KIND = """#!/bin/sh
cd {folder}/clusters
echo "$*" >> ../asked
[ ! -e ../broken ] || {{ echo "docker is not running" >&2; exit 1; }}
name() {{ while [ "$1" != --name ]; do shift; done; echo "$2"; }}
case "$1 $2" in
"get clusters") ls; [ "$(ls)" ] || echo "No kind clusters found." >&2 ;;
"get kubeconfig") echo "kubeconfig of $(name "$@")" ;;
"delete cluster") rm -f "$(name "$@")" ;;
"create cluster")
    while [ "$1" != --config ]; do shift; done
    cp "$2" ../config
    echo "kubeconfig of a user" > "$(echo "$*" | sed 's/.*--kubeconfig //')"
    touch "$(sed 's/.*--name \\([^ ]*\\).*/\\1/' ../asked | tail -n 1)" ;;
*) echo "unknown command $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def kind(monkeypatch, tmp_path):
    (tmp_path / "clusters").mkdir()
    for name, text in {"kind": _KIND.format(folder=tmp_path), "docker": "#!/bin/sh\n"}.items():
        script = tmp_path / name
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def clusters(kind) -> list[str]:
    return sorted(path.name for path in (kind / "clusters").iterdir())


def test_a_cluster_is_made_read_and_removed_and_others_stay(kind):
    (kind / "clusters" / "another").touch()
    provider = KindProvider()
    made = provider.create(dict(PROPS))
    assert made.id == "k"
    assert made.outs == PROPS | {"kubeconfig": "kubeconfig of k\n"}
    assert clusters(kind) == ["another", "k"]
    assert (kind / "config").read_text(encoding="utf-8").count("role: worker") == 2
    create = next(line for line in (kind / "asked").read_text().splitlines() if "create" in line)
    assert "--image kindest/node:v1.36.3 " in create
    read = provider.read("k", made.outs or {})
    assert (read.id, read.outs) == ("k", made.outs)
    provider.delete("k", made.outs or {})
    assert clusters(kind) == ["another"]
    assert provider.read("k", made.outs or {}).id is None


def test_a_kubeconfig_of_the_users_own_is_not_written_to(kind, monkeypatch):
    own = kind / "own"
    monkeypatch.setenv("KUBECONFIG", str(own))
    KindProvider().create(dict(PROPS))
    assert not own.exists()


@pytest.mark.usefixtures("kind")
def test_no_cluster_at_all_is_no_cluster_of_that_name():
    assert KindProvider().read("No", dict(PROPS)).id is None


def test_a_cluster_of_that_name_that_is_there_is_left_alone(kind):
    (kind / "clusters" / "k").touch()
    with pytest.raises(OwnershipError, match=r"kubernetes\.clusterName.*'k'"):
        KindProvider().create(dict(PROPS))
    assert "create" not in (kind / "asked").read_text()


@pytest.mark.parametrize("call", ["create", "read", "delete"])
def test_what_kind_says_when_it_fails_is_told_and_no_cluster_is_taken_for_gone(kind, call):
    (kind / "clusters" / "k").touch()
    (kind / "broken").touch()
    arguments = (dict(PROPS),) if call == "create" else ("k", dict(PROPS))
    with pytest.raises(MilvusKitError, match="docker is not running"):
        getattr(KindProvider(), call)(*arguments)


@pytest.mark.parametrize("name", ["kind", "docker"])
def test_a_command_that_is_missing_is_named(kind, name):
    (kind / name).unlink()
    with pytest.raises(MissingToolError, match=f"no {name} command"):
        KindProvider().read("k", dict(PROPS))


def test_nothing_changes_where_nothing_was_changed():
    provider = KindProvider()
    assert not provider.diff("k", dict(PROPS), PROPS | {"workers": 2}).changes
