"""Layers and image archives as plain tar files, the same bytes for the same content.

The form is the one ``docker save`` writes and containerd imports: one tar for each layer, the
image's configuration as JSON, and ``manifest.json``, which names both. Layers are compressed in it,
because a node writes and hashes every byte of an archive before it unpacks it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.e2e import command

_ZSTD = b"\x28\xb5\x2f\xfd"
"""The first bytes of what zstd compressed."""
_EPOCH = "1970-01-01T00:00:00Z"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file or folder tree of a layer.

    Args:
        source: On this host; a folder is taken with all that is in it.
        target: Absolute path in the image.
        without: Names of files and folders to leave out.
        owner: User and group of all of it, as a number.
        mode: Of all of it; None: as on this host, and for everyone to read.
    """

    source: Path
    target: str
    without: frozenset[str] = frozenset({"__pycache__"})
    owner: int = 0
    mode: int | None = None


@dataclasses.dataclass(frozen=True)
class Image:
    """An image to be written.

    Args:
        names: Under which it is found, each with a tag.
        layers: Uncompressed tar files, lowest first.
        entrypoint: What is run.
        environment: Its environment; PATH is set if left out.
        user: User and group, as numbers.
        workdir: Its working folder.
        labels: What is in it.
    """

    names: tuple[str, ...]
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def config(self) -> bytes:
        """Return the image's configuration."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"PATH": path, **self.environment}
        runtime: dict[str, Any] = {
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Entrypoint": list(self.entrypoint) or None,
            "User": self.user,
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels),
        }
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": _EPOCH,
            "config": runtime,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(p)}" for p in self.layers]},
        }
        return json.dumps(document, sort_keys=True).encode()


@functools.cache
def digest(path: Path) -> str:
    """Return the SHA-256 of a layer, which never changes once it is written."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def compressed(layer: Path) -> Path:
    """Return a layer's compressed file, which is kept beside it."""
    path = layer.with_name(f"{layer.name}.zst")
    if not path.exists():
        with _whole(path) as partial:
            command.run(
                ["zstd", "-q", "-f", "-T0", layer, "-o", partial],
                where=f"compressing {layer}",
                remedy="check the free disk space",
            )
    return path


def write_layer(path: Path, entries: Iterable[Entry], folders: Iterable[str] = ()) -> Path:
    """Write a layer.

    Args:
        path: Of the tar file.
        entries: What goes into it.
        folders: Empty folders that anyone may write to, such as ``/tmp``.
    """
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in folders:
            member = tarfile.TarInfo(folder.strip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(member)
        for entry in entries:
            _add(tar, entry, entry.source, entry.target.strip("/"))
    return path


def write_archive(path: Path, images: Iterable[Image]) -> Path:
    """Write images into one archive; a layer that several share is in it once."""
    manifest, there = [], set()
    with (
        _whole(path) as partial,
        tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for image in images:
            config = image.config()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(tar, name, config, there)
            layers = []
            for layer in image.layers:
                inside = f"{digest(layer)}/layer.tar"
                layers.append(inside)
                if inside not in there:
                    there.add(inside)
                    _add(tar, Entry(compressed(layer), inside), compressed(layer), inside)
            entry = {"Config": name, "RepoTags": list(image.names), "Layers": layers}
            manifest.append(entry)
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode(), there)
    return path


def read_file(archive: Path, name: str) -> bytes:
    """Return a file out of an archive's only image, as its highest layer has it.

    Args:
        archive: As `write_archive` or a builder writes it.
        name: Absolute path in the image.

    Raises:
        KeyError: No layer has it.
    """
    with tarfile.open(archive) as packed:
        manifest = packed.extractfile("manifest.json")
        assert manifest is not None
        (image,) = json.load(manifest)
        for layer in reversed(image["Layers"]):
            member = packed.getmember(layer)
            stream = packed.extractfile(
                f"{Path(layer).parent}/{member.linkname}" if member.issym() else layer
            )
            assert stream is not None
            found = _read_member(stream, name.strip("/"))
            if found is not None:
                return found
    raise KeyError(name)


def _read_member(stream: IO[bytes], name: str) -> bytes | None:
    """Return a file out of a layer, compressed or not; None if it has none of that name."""
    with tempfile.TemporaryFile() as plain:
        if stream.read(len(_ZSTD)) == _ZSTD:
            stream.seek(0)
            with subprocess.Popen(["zstd", "-dc"], stdin=subprocess.PIPE, stdout=plain) as unpacked:
                assert unpacked.stdin is not None
                shutil.copyfileobj(stream, unpacked.stdin)
        else:
            stream.seek(0)
            shutil.copyfileobj(stream, plain)
        plain.seek(0)
        with tarfile.open(fileobj=plain) as layer:
            member = next((one for one in layer if one.name.strip("./") == name), None)
            file = layer.extractfile(member) if member else None
            return file.read() if file else None


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a file of our own, which takes its place when the block ends well.

    Runs side by side may write the same file: none sees or breaks another's half.
    """
    descriptor, name = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, entry: Entry, source: Path, target: str) -> None:
    member = tar.gettarinfo(source, target)
    member.mtime, member.uname, member.gname = 0, "", ""
    member.uid = member.gid = entry.owner
    usual = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    member.mode = usual if entry.mode is None else entry.mode
    if member.isreg():
        with source.open("rb") as stream:
            tar.addfile(member, stream)
        return
    tar.addfile(member)
    if member.isdir():
        for child in sorted(source.iterdir()):
            if child.name not in entry.without:
                _add(tar, entry, child, f"{target}/{child.name}")


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes, there: set[str]) -> None:
    if name in there:
        return
    there.add(name)
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
