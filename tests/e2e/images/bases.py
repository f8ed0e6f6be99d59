"""What images are made of: a small Debian, static binaries, Milvus from its wheel, Kafka and a JRE.

Each function returns a layer: a tar file in the cache, made once for each version.
"""

from __future__ import annotations

import compileall
import hashlib
import py_compile
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from infra.milvus.roles.configuration import DATA_FOLDER
from infra.milvus.roles.image import ImageFacts
from tests import shipped
from tests.e2e import command
from tests.e2e.images.archive import Entry, write_layer
from validation.common.cache import cache_folder, filling
from validation.local import milvus

DEBIAN_SUITE = "bookworm"
DEBIAN_INCLUDED = (
    "ca-certificates",
    "conntrack",
    "iptables",
    "kmod",
    "libgomp1",
    "libpython3-stdlib",
    "libstdc++6",
    "nftables",
    "python3-minimal",
)
PACKAGES = "/opt/milvus-kit/packages"
KAFKA_VERSION = "3.9.1"
_BUSYBOX = Path("/bin/busybox")
_BUSYBOX_COMMANDS = ("sh", "mkdir", "rm", "chmod", "ls", "cat", "sleep", "true", "wget")
_LEFT_OUT = frozenset({"..", "__pycache__", "tests"})
_JRE_MODULES = "java.base,java.management,java.naming,java.security.sasl,java.sql,jdk.unsupported"
_KAFKA_COMMANDS = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}
_PAUSE = """#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
    signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap);
    for (;;) pause();
}
"""
_PAUSE_COMPILER = ("gcc", "-Os", "-static", "-s", "-x", "c", "-")


def layer(name: str, make: Callable[[Path], None]) -> Path:
    """Return a cached layer.

    Args:
        name: With everything in it that decides the content.
        make: Writes the tar file to the path it is given.
    """
    folder = cache_folder() / "layers" / name
    with filling(folder) as partial:
        if partial is not None:
            make(partial / "layer.tar")
    return folder / "layer.tar"


def debian() -> Path:
    """Return a minimal Debian with glibc and what kube-proxy, Milvus and Python need of it."""
    return bootstrapped("debian", DEBIAN_INCLUDED)


def bootstrapped(name: str, packages: Iterable[str]) -> Path:
    """Return a layer with a minimal Debian and some packages."""
    included = ",".join(packages)
    make = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={included}", DEBIAN_SUITE]
    return layer(f"{name}-{DEBIAN_SUITE}-{_key(included)}", lambda tar: _run([*make, str(tar)]))


def binaries(name: str, files: dict[Path, str], folders: Iterable[str] = ()) -> Path:
    """Return a layer with single files, each at its place in the image."""
    entries = [Entry(source, target) for source, target in files.items()]
    return layer(name, lambda tar: _ignore(write_layer(tar, entries, folders)))


def busybox() -> Path:
    """Return a layer with a static shell and the commands that volume helpers use."""

    def make(tar: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "bin"
            root.mkdir()
            shutil.copy(_BUSYBOX, root / "busybox")
            for name in _BUSYBOX_COMMANDS:
                (root / name).symlink_to("busybox")
            write_layer(tar, [Entry(root, "/bin")], ["/tmp"])

    content = hashlib.sha256(_BUSYBOX.read_bytes()).hexdigest()
    return layer(f"busybox-{_key(content, *_BUSYBOX_COMMANDS)}", make)


def pause() -> Path:
    """Return a layer with the program that holds a pod's namespaces open."""

    def make(tar: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "pause"
            _run([*_PAUSE_COMPILER, "-o", str(binary)], given=_PAUSE)
            write_layer(tar, [Entry(binary, "/pause")])

    return layer(f"pause-{_key(_PAUSE, *_PAUSE_COMPILER)}", make)


def milvus_server(version: str, like: ImageFacts) -> Path:
    """Return a layer with a Milvus server, laid out as in a published image.

    Args:
        version: Of the server.
        like: The image whose owners, modes and shipped files it has.
    """

    def make(tar: Path) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            server = milvus_files(version, folder)
            root = folder / "root"
            for inside in ("bin", "lib", "configs"):
                (root / inside).mkdir(parents=True)
            for file in (server / "bin").iterdir():
                shutil.copy(file, root / ("bin" if file.name == "milvus" else "lib"))
            files = shipped.files(server / "config.yaml.template")
            assert set(files) == set(like.shipped)
            for file, text in files.items():
                (root / "configs" / file).write_text(text, encoding="utf-8")
            empty = folder / "empty"
            empty.mkdir()
            entries = [
                Entry(root, "/milvus", owner=like.owner, mode=like.mode),
                Entry(empty, DATA_FOLDER, owner=like.owner, mode=like.mode),
            ]
            write_layer(tar, entries, ["/run/milvus"])

    return layer(f"milvus-{version}-{_key(repr(like))}", make)


def kafka() -> Path:
    """Return a layer with Kafka's jars from Maven Central and a JRE of just its modules."""

    def make(tar: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            project, jars, jre = (Path(folder) / name for name in ("pom.xml", "libs", "jre"))
            project.write_text(_kafka_project(), encoding="utf-8")
            copy = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
            _run(["mvn", "-q", "-B", "-f", str(project), *copy, "-DincludeScope=runtime"])
            trim = ["--strip-debug", "--no-man-pages", "--no-header-files", "--output", str(jre)]
            _run(["jlink", "--add-modules", _JRE_MODULES, *trim])
            scripts = Path(folder) / "bin"
            scripts.mkdir()
            for name, main in _KAFKA_COMMANDS.items():
                script = scripts / name
                script.write_text(
                    "#!/bin/sh\nexec /opt/jre/bin/java ${KAFKA_HEAP_OPTS:--Xmx512m} "
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn "
                    f"-cp '/opt/kafka/libs/*' {main} \"$@\"\n",
                    encoding="utf-8",
                )
                script.chmod(0o755)
            entries = [
                Entry(jars, "/opt/kafka/libs"),
                Entry(jre, "/opt/jre"),
                Entry(scripts, "/opt/kafka/bin"),
            ]
            write_layer(tar, entries, ["/var/lib/kafka"])

    return layer(f"kafka-{KAFKA_VERSION}", make)


def python_packages(distribution: str, extras: Iterable[str] = ()) -> Path:
    """Return a layer with what a distribution needs to run, from this Python's own packages.

    Args:
        distribution: Its name; it is left out itself.
        extras: Which of its optional parts are wanted.
    """
    names = sorted(closure(distribution, extras) - {distribution})
    found = {name: metadata.distribution(name) for name in names}
    text = " ".join(
        ["compiled", *sorted(_LEFT_OUT), *(f"{name}=={one.version}" for name, one in found.items())]
    )
    key = hashlib.sha256(text.encode()).hexdigest()[:12]

    def make(tar: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for one in found.values():
                for file in one.files or []:
                    source = Path(str(one.locate_file(file)))
                    if _LEFT_OUT.isdisjoint(file.parts) and source.is_file():
                        target = Path(folder, file)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(source, target)
            compileall.compile_dir(
                folder,
                quiet=2,  # some packages come with a file for another Python
                workers=0,
                stripdir=folder,
                prependdir=PACKAGES,
                # A layer's files are all of the same age, so their time says nothing of the code.
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            write_layer(tar, [Entry(Path(folder), PACKAGES, frozenset())])

    return layer(f"python-{key}", make)


def closure(name: str, extras: Iterable[str]) -> set[str]:
    """Return what a distribution needs to run, by names, itself included."""
    done: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        one = waiting.pop()
        if one in done:
            continue
        done.add(one)
        distribution, extra = one
        for text in metadata.requires(distribution) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                found = wanted.name.lower().replace("_", "-")
                waiting += [(found, part) for part in ("", *wanted.extras)]
    return {distribution for distribution, _ in done}


def milvus_files(version: str, folder: Path) -> Path:
    """Return a server of PyPI, unpacked; a folder to download it to, if it is not yet there."""
    if version == milvus.installed_version():
        return milvus.unpacked()
    download = ["download", "-q", "--no-deps", "--dest", str(folder), f"milvus=={version}"]
    _run([sys.executable, "-m", "pip", *download])
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return milvus.unpacked(folder / "milvus" / "data", version)


def _kafka_project() -> str:
    wanted = (
        ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        ("org.slf4j", "slf4j-simple", "1.7.36"),
    )
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in wanted
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>kit</groupId>"
        "<artifactId>kafka</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _key(*parts: str) -> str:
    """Return what changes in a layer's name with what decides its content."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _run(line: list[str], given: str = "") -> None:
    remedy = "check that the package source it needs answers, and the free disk space"
    command.run(line, where="making a layer of an image", remedy=remedy, given=given)


def _ignore(_: object) -> None:
    return None
