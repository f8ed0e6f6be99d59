"""Which S3 server the embedded stack runs, and how it is run.

The choices are tried in the order of `ORDER`, and each says why it fell away, so that nobody has to
guess which store a report is about. MinIO is preferred; the last resort is an emulator, labelled as
such, since neither its latency nor its durability is evidence of anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from validation.common.cache import cache_folder
from validation.common.progress import Progress
from validation.errors import MissingToolError, UsageError
from validation.local.minio_build import RELEASE, build

DEFAULT_IMAGE = f"quay.io/minio/minio:RELEASE.{RELEASE}"
IMAGE_VARIABLE = "MILVUS_KIT_MINIO_IMAGE"
EMULATOR_NOTE = (
    "the object store is an emulator (moto): its latency, durability and consistency are not "
    "evidence of any real store"
)
_ENGINES = ("docker", "podman")
_ANSWER_SECONDS = 10
_PULL_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class S3Server:
    """An S3 server that can be run on this host.

    Attributes:
        source: Which of `ORDER` it is.
        provider: ``minio`` or ``emulator``.
        program: The binary, or the container engine.
        version: As the binary says, where it is known.
        image: The image, for a container.
        rejected: Why each choice before it fell away.
    """

    source: str
    provider: Literal["minio", "emulator"]
    program: str
    version: str = ""
    image: str = ""
    rejected: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What it is, for progress and the target's notes."""
        if self.provider == "emulator":
            return "moto (emulator)"
        if self.image:
            return f"MinIO in {Path(self.program).name}: {self.image}"
        return f"MinIO {self.version}".strip()

    def command(self, folder: Path, port: int) -> list[str]:
        """Return the command line, without secrets.

        Args:
            folder: Of the stack; objects are kept in its ``s3``.
            port: On 127.0.0.1.
        """
        if self.provider == "emulator":
            return [self.program, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        if self.image:
            return [
                *(self.program, "run", "--rm", "--name", _container(port)),
                *self._user(),
                *("--publish", f"127.0.0.1:{port}:9000", "--volume", f"{folder / 's3'}:/data"),
                *("--env", "MINIO_ROOT_USER", "--env", "MINIO_ROOT_PASSWORD"),
                *("--env", "MINIO_BROWSER", "--env", "MINIO_UPDATE", "--env", "HOME=/tmp"),
                *(self.image, "server", "/data", "--address", ":9000"),
            ]
        return [
            *(self.program, "server", "--address", f"127.0.0.1:{port}"),
            *("--certs-dir", str(folder / "certs"), str(folder / "s3")),
        ]

    def _user(self) -> list[str]:
        """Return the options that make the objects ours on the host."""
        user = ["--user", f"{os.getuid()}:{os.getgid()}"]
        rootless = Path(self.program).name == "podman" and os.getuid() != 0
        return [*user, "--userns", "keep-id"] if rootless else user

    def off(self, port: int) -> list[list[str]]:
        """Return the commands that end it, where a signal to its process does not suffice.

        An engine's client passes signals on, but may never notice that its container has ended.
        """
        name = _container(port)
        stop, remove = ["stop", "-t", "5", name], ["rm", "--force", name]
        return [[self.program, *stop], [self.program, *remove]] if self.image else []

    def environment(self, access_key: str, secret_key: str) -> dict[str, str]:
        """Return what the server reads from its environment: its keys above all."""
        if self.provider == "emulator":
            return {}
        return {
            "MINIO_ROOT_USER": access_key,
            "MINIO_ROOT_PASSWORD": secret_key,
            "MINIO_BROWSER": "off",  # no console, hence no second port
            "MINIO_UPDATE": "off",  # nothing is looked up outside
        }

    @property
    def health_path(self) -> str:
        """The path that answers 200 once objects can be stored.

        MinIO's ``/minio/health/ready`` answers 200 before that.
        """
        return "/moto-api/" if self.provider == "emulator" else "/minio/health/cluster"


def end_container(server: S3Server, port: int) -> None:
    """End the container of a stack, if it has one: it outlives a supervisor that was killed."""
    for command in server.off(port):
        with contextlib.suppress(_Unavailable):
            _ask(command)


def _container(port: int) -> str:
    return f"milvus-kit-s3-{port}"


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What a choice has to know."""

    progress: Progress
    folder: Path
    image: str
    only: str


class _Unavailable(Exception):  # noqa: N818  (it is an answer, not an error)
    """Why a choice falls away."""


def _on_path(_: _Wanted) -> S3Server:
    found = shutil.which("minio")
    if found is None:
        raise _Unavailable("no minio on PATH")
    answer = _ask([found, "--version"])
    if not answer.startswith("minio version "):
        raise _Unavailable(f"{found} does not answer `--version` as MinIO does")
    return S3Server("path", "minio", found, answer.split()[2])


def _in_container(wanted: _Wanted) -> S3Server:
    reasons = []
    for engine in _ENGINES:
        program = shutil.which(engine)
        if program is None:
            reasons.append(f"no {engine} on PATH")
            continue
        try:
            _ask([program, "info"])
            _provide_image(program, wanted)
        except _Unavailable as error:
            reasons.append(str(error))
        else:
            return S3Server("container", "minio", program, image=wanted.image)
    raise _Unavailable("; ".join(reasons))


def _provide_image(program: str, wanted: _Wanted) -> None:
    """Make sure that the image is here; it is not fetched where a MinIO is in the cache already."""
    try:
        _ask([program, "image", "inspect", wanted.image])
    except _Unavailable:
        if _is_cached() and not wanted.only:
            raise _Unavailable(f"{wanted.image} is not here, and another MinIO is") from None
        with wanted.progress.step(f"pull {wanted.image}"):
            _ask([program, "pull", "--quiet", wanted.image], seconds=_PULL_SECONDS)


def _binary() -> Path:
    return cache_folder() / "toolchain" / f"minio-{RELEASE[:10]}" / "bin" / "minio"


def _is_cached() -> bool:
    return os.access(_binary(), os.X_OK)


def _in_cache(_: _Wanted) -> S3Server:
    if not _is_cached():
        raise _Unavailable(f"no {_binary()}")
    return S3Server("cache", "minio", str(_binary()), RELEASE)


def _built(wanted: _Wanted) -> S3Server:
    go = shutil.which("go")
    if go is None:
        raise _Unavailable("no go on PATH to build it with")
    try:
        build(go, _binary(), folder=wanted.folder, progress=wanted.progress)
    except (OSError, MissingToolError) as error:
        raise _Unavailable(str(error)) from None
    return S3Server("build", "minio", str(_binary()), RELEASE)


def _emulated(_: _Wanted) -> S3Server:
    if any(importlib.util.find_spec(name) is None for name in ("moto", "flask")):
        raise _Unavailable("the Python package moto[server] is not installed")
    return S3Server("emulator", "emulator", sys.executable)


_CHOICES: dict[str, Callable[[_Wanted], S3Server]] = {
    "path": _on_path,
    "container": _in_container,
    "cache": _in_cache,
    "build": _built,
    "emulator": _emulated,
}
ORDER = tuple(_CHOICES)


def choose(progress: Progress, folder: Path, *, only: str = "", image: str = "") -> S3Server:
    """Return the S3 server to run.

    Args:
        progress: Shows a pull or a build, which take minutes.
        folder: Of the stack; the log of a build is kept in its ``logs``.
        only: One of `ORDER`, to take it or fail; all of them in turn if left out.
        image: For a container; ``$MILVUS_KIT_MINIO_IMAGE`` or `DEFAULT_IMAGE` if left out.

    Raises:
        UsageError: ``only`` is none of `ORDER`.
        MissingToolError: Every choice fell away; it says why each did.
    """
    if only and only not in _CHOICES:
        raise UsageError(
            "there is no such S3 server", seen=only, remedy=f"choose one of: {', '.join(ORDER)}"
        )
    image = image or os.environ.get(IMAGE_VARIABLE) or DEFAULT_IMAGE
    wanted = _Wanted(progress, folder, image, only)
    rejected: list[str] = []
    for name in [only] if only else ORDER:
        try:
            server = _CHOICES[name](wanted)
        except _Unavailable as reason:
            rejected.append(f"{name}: {reason}")
        else:
            return dataclasses.replace(server, rejected=tuple(rejected))
    raise MissingToolError(
        "no S3 server can be run here:\n    " + "\n    ".join(rejected),
        remedy="install MinIO, Docker or Go; or the emulator: pip install 'milvus-kit[embedded]'",
    )


def _ask(command: list[str], seconds: float = _ANSWER_SECONDS) -> str:
    """Return what a command prints; its last line on stderr is the reason if it fails."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        told = said[-1][:200] if said else f"exit status {error.returncode}"
        raise _Unavailable(f"`{' '.join(map(_short, command[:2]))}` failed: {told}") from None
    except subprocess.TimeoutExpired:
        raise _Unavailable(
            f"`{command[0]} {command[1]}` gave no answer in {seconds:.0f} s"
        ) from None
    except OSError as error:
        raise _Unavailable(f"{command[0]} cannot be run: {error.strerror}") from None
    return done.stdout


def _short(word: str) -> str:
    return Path(word).name
