"""Which images the stacks need, and what each holds."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

from infra.milvus.roles.image import facts
from tests.e2e import command
from tests.e2e.images import bases
from tests.e2e.images.archive import Entry, Image, write_layer
from tests.e2e.toolchain import parts
from tests.e2e.toolchain.provide import Toolchain
from validation.common import image

_VERSION = "org.opencontainers.image.version"
_ROOT = Path(__file__).resolve().parents[3]
_PIN = r"^([a-z0-9.-]+)(==\S+)(?: ; ([^\\\n]*?))?((?: \\)?(?:\n .*)*)$"
"""A line of the lock: name, version, for which Python, hashes."""
# As in the Dockerfile, which a test compares with them.
KIT_FOLDERS = ("infra", "validation", "stacks", "sample_data")
KIT_EXTRAS: tuple[str, ...] = ()
KIT_WORKDIR = "/runs"
LAYOUTS = {"2.3.3": "2.6.20", "2.3.5": "3.0.5"}
"""Versions that are run, and those whose owners, modes and shipped files their images have.

Both lines are there, so that the upgrade from one to the other is that of a volume's owners too.
"""


def kubernetes(tools: Toolchain) -> list[Image]:
    """Return the images that kubeadm asks for, under the names it asks for."""
    folder = tools.folders["kubernetes"]
    wanted = ("--kubernetes-version", f"v{parts.KUBERNETES_VERSION}")
    listed = command.run(
        [folder / "kubeadm", "config", "images", "list", *wanted],
        where=f"asking {folder / 'kubeadm'} for the images of Kubernetes",
        remedy=f"remove {folder.parent}: it is provided anew",
    )
    names = {name.rsplit("/", 1)[-1].split(":")[0]: name for name in listed.split()}
    version = {_VERSION: parts.KUBERNETES_VERSION}
    images = []
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        own = bases.binaries(
            f"{name}-{parts.KUBERNETES_VERSION}", {folder / name: f"/usr/local/bin/{name}"}
        )
        below = (bases.debian(),) if name == "kube-proxy" else ()
        images.append(Image((names[name],), (*below, own), labels=version))
    return [
        *images,
        Image((names["pause"],), (bases.pause(),), ("/pause",)),
        Image(
            (names["coredns"],),
            (_single(tools, parts.COREDNS, "/coredns"),),
            ("/coredns",),
            labels={_VERSION: parts.COREDNS_VERSION},
        ),
        _etcd({tools.command("etcd"): "etcd"}, names["etcd"], parts.ETCD_VERSION),
    ]


def etcd(tools: Toolchain, name: str) -> Image:
    """Return the stacks' etcd, in the version that they ship, with etcdctl, etcdutl and a shell."""
    server = {tools.command(parts.STACKS_ETCD.name, "etcd"): "etcd"}
    others = {tools.command(one): one for one in ("etcdctl", "etcdutl")}
    return _etcd(server | others, name, parts.STACKS_ETCD_VERSION)


def _etcd(commands: Mapping[Path, str], name: str, version: str) -> Image:
    files = {command: f"/usr/local/bin/{as_named}" for command, as_named in commands.items()}
    own = bases.binaries(f"etcd-{version}", files)
    return Image((name,), (bases.debian(), own), labels={_VERSION: version})


def local_path(tools: Toolchain, name: str) -> Image:
    """Return the provisioner of local volumes."""
    own = _single(tools, parts.LOCAL_PATH, "/usr/bin/local-path-provisioner")
    labels = {_VERSION: parts.LOCAL_PATH_VERSION}
    return Image((name,), (own,), ("/usr/bin/local-path-provisioner",), labels=labels)


def busybox(name: str) -> Image:
    """Return a shell with a few commands."""
    return Image((name,), (bases.busybox(),), ("/bin/sh",))


def minio(tools: Toolchain, *names: str) -> Image:
    """Return MinIO, laid out as in its published image."""
    own = _single(tools, parts.MINIO, "/usr/bin/minio")
    labels = {_VERSION: parts.MINIO_VERSION}
    return Image(names, (bases.debian(), own), ("/usr/bin/minio",), labels=labels)


def milvus(version: str, *names: str) -> Image:
    """Return Milvus from its wheel, laid out as in the published image that it stands for."""
    environment = {
        "PATH": "/milvus/bin:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": "/milvus/lib:/usr/lib",
        "MILVUSCONF": "/milvus/configs/",
        "MALLOC_CONF": "background_thread:true",
    }
    like = facts(LAYOUTS[version])
    layers = (bases.debian(), bases.milvus_server(version, like))
    labels = {_VERSION: f"{version}-lite", "milvus-kit.layout": LAYOUTS[version]}
    user = f"{like.user}:{like.user}"
    return Image(names, layers, (), environment, user, "/milvus", labels)


def kafka(*names: str) -> Image:
    """Return Kafka with its JRE."""
    path = "/opt/jre/bin:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "CLASSPATH": "/opt/kafka/libs/*"}
    labels = {_VERSION: bases.KAFKA_VERSION}
    return Image(names, (bases.debian(), bases.kafka()), (), environment, labels=labels)


def kit(work: Path, *names: str) -> Image:
    """Return the kit's own image: this checkout's packages on Debian's Python.

    Args:
        work: A folder for the layer with the code, which changes from run to run.
        names: Of the image.
    """
    launcher, python = work / "milvus-kit", work / "python"
    launcher.write_text(
        "#!/usr/bin/python3\nimport sys\nfrom validation.cli import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    launcher.chmod(0o755)
    python.symlink_to("/usr/bin/python3")  # Debian has no plain `python`, the published base has
    code = write_layer(
        work / "kit.tar",
        [
            *(Entry(_ROOT / name, f"/opt/milvus-kit/{name}") for name in KIT_FOLDERS),
            *_installed("milvus-kit"),
            *_bill(work),
            Entry(launcher, "/usr/local/bin/milvus-kit"),
            Entry(python, "/usr/local/bin/python"),
        ],
        ["/tmp", KIT_WORKDIR],
    )
    return Image(
        names,
        (bases.debian(), bases.python_packages("milvus-kit", KIT_EXTRAS), code),
        ("/usr/local/bin/milvus-kit",),
        {"PYTHONPATH": f"/opt/milvus-kit:{bases.PACKAGES}", "PYTHONUNBUFFERED": "1"},
        user="1000:1000",
        workdir=KIT_WORKDIR,
    )


def _installed(name: str) -> list[Entry]:
    """Return what makes a distribution an installed one: its version, and its pytest plugin."""
    found = metadata.distribution(name)
    folder = f"/opt/milvus-kit/{name.replace('-', '_')}-{found.version}.dist-info"
    files = {file.name: Path(str(found.locate_file(file))) for file in found.files or []}
    return [Entry(files[one], f"{folder}/{one}") for one in ("METADATA", "entry_points.txt")]


def _bill(work: Path) -> list[Entry]:
    """Return lock and SBOM of what the image holds, made as the Dockerfile makes them."""
    lock, sbom = (work / name for name in image.FILES)
    text = (_ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {
        name: f"{version}{hashes}"
        for name, version, marker, hashes in re.findall(_PIN, text, re.MULTILINE)
        if not marker or Marker(marker).evaluate()
    }
    names = sorted(bases.closure("milvus-kit", KIT_EXTRAS) - {"milvus-kit"})
    lock.write_text("".join(f"{name}{pinned[name]}\n" for name in names), encoding="utf-8")
    options = ("--short-PURLs", "--output-reproducible", "--pyproject", _ROOT / "pyproject.toml")
    command.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", *options, "-o", sbom, lock],
        where="writing the bill of materials of the kit's image",
        remedy="run `make lock`: it may be older than pyproject.toml",
    )
    return [Entry(one, f"{image.ROOT}/{image.FOLDER}/{one.name}") for one in (lock, sbom)]


def _single(tools: Toolchain, part: parts.GoPart, target: str) -> Path:
    return bases.binaries(part.folder, {tools.command(part.name): target}, ["/tmp"])
