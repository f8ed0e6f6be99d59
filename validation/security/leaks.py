"""Secrets where they must not be: looked for by their very values, which are shown nowhere."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import yaml

from validation.errors import ConfigurationError, MilvusKitError
from validation.s3.client.endpoint import keys_of
from validation.security import namespace
from validation.target import SecretRef, Target

_SHORTEST = 6
"""Anything shorter would be found everywhere by chance."""
_WELL_KNOWN = frozenset({"Milvus", "minioadmin"})
"""Words that stand in logs and programs, whoever has not changed them."""
_PIECE = 1 << 22
_OF_GO = {ord(one): f"\\u{ord(one):04x}" for one in "&<>\u2028\u2029"}
"""What Go's encoding/json escapes beyond what it has to."""


@dataclasses.dataclass
class Searched:
    """What a search came to.

    Args:
        places: How many places were looked into.
        size: How many bytes they had.
        found: Which secret stands where: ``NAME in PLACE``.
        unread: Places that could not be looked into.
    """

    places: int = 0
    size: int = 0
    found: list[str] = dataclasses.field(default_factory=list)
    unread: list[str] = dataclasses.field(default_factory=list)

    @property
    def why_void(self) -> str | None:
        """Why nothing is told; None if a secret was found, or every place was looked into."""
        if self.found or (self.places and not self.unread):
            return None
        if not self.unread:
            return "there was no place to look into"
        return f"{len(self.unread)} places could not be read, the first: {self.unread[0]}"


def secrets_of(target: Target) -> dict[str, str]:
    """Return the secrets of a target by what they are for.

    The access key is a name and no secret, whatever else is the same. What is too short to tell
    from chance is left out, and so is a password that everybody knows.

    Raises:
        ConfigurationError: A reference leads nowhere.
    """
    found: dict[str, str] = {}
    names = set(_WELL_KNOWN)
    if target.milvus.auth is not None:
        found["milvus.auth.password"] = target.milvus.auth.password.reveal("milvus.auth.password")
    if target.storage is not None and target.storage.secret_key is not None:
        keys = keys_of(target.storage)
        found["storage.secret_key"] = keys.secret
        names.add(keys.access)
    for part, tls in (
        ("milvus", target.milvus.tls),
        ("storage", target.storage and target.storage.tls),
    ):
        if tls and tls.client_key_file is not None:
            key = SecretRef(file=tls.client_key_file).reveal(f"{part}.tls.client_key_file")
            found[f"{part}.tls.client_key_file"] = _telling(key)
    for one in target.hosts:
        if one.private_key is not None:
            where = f"hosts: {one.name}.private_key"
            found[where] = _telling(one.private_key.reveal(where))
    if target.kubernetes is not None and target.kubernetes.kubeconfig is not None:
        found |= _of_kubeconfig(target.kubernetes.kubeconfig)
    return {name: one for name, one in found.items() if len(one) >= _SHORTEST and one not in names}


def _telling(pem: str) -> str:
    """Return the line of a key that tells it from others: its last full one.

    The first one of an OpenSSH key is a header that all keys of its kind share.
    """
    lines = [line for line in pem.splitlines() if line and "-----" not in line]
    return max(reversed(lines), key=len, default="")


def _of_kubeconfig(ref: SecretRef) -> dict[str, str]:
    """Return the secrets that stand in a kubeconfig itself."""
    where = "kubernetes.kubeconfig"
    try:
        users = [one["user"] or {} for one in yaml.safe_load(ref.reveal(where)).get("users") or ()]
        found = {}
        for number, user in enumerate(users):
            for name in ("token", "password"):
                found[f"{where}: users[{number}].{name}"] = str(user.get(name, ""))
            key = base64.b64decode(user.get("client-key-data", "")).decode()
            found[f"{where}: users[{number}].client-key-data"] = _telling(key)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        raise ConfigurationError(
            "this is no kubeconfig", where=where, remedy="give one that kubectl can use"
        ) from None
    return found


def _forms(secret: str) -> set[bytes]:
    """Return a secret as it may be written: plain, in a URL, base64, JSON, and JSON in JSON."""
    raw = secret.encode()
    once = _in_json(secret)
    texts = {
        secret,
        quote(secret, safe=""),
        *once,
        *(form for one in once for form in _in_json(one)),
    }
    return {*(text.encode() for text in texts), *_in_base64(raw)}


def _in_json(text: str) -> set[str]:
    """Return a text as encoders escape it: Python's, and Go's, which escapes HTML as well."""
    plain = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return plain | {one.translate(_OF_GO) for one in plain}


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield the letters that a secret alone decides, wherever in a longer text it stands."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            letters = encode(bytes(before) + raw)
            yield letters[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]


def searched(
    secrets: Mapping[str, str], places: Iterable[tuple[str, Iterable[bytes] | Path]]
) -> Searched:
    """Look for secrets in places.

    Args:
        secrets: By what they are for.
        places: What each is called, and its content in pieces, or the file that it is.
    """
    wanted = {name: _forms(one) for name, one in secrets.items()}
    longest = max((len(form) for forms in wanted.values() for form in forms), default=0)
    result = Searched()
    for place, content in places:
        seen: set[str] = set()
        try:
            rest = b""
            for piece in _read(content) if isinstance(content, Path) else content:
                result.size += len(piece)
                text = rest + piece
                seen |= {
                    name for name, forms in wanted.items() if any(form in text for form in forms)
                }
                rest = text[-longest:]
        except OSError as error:
            result.unread.append(f"{place}: {error.strerror}")
        except MilvusKitError as error:
            result.unread.append(f"{place}: {error.what}")
        else:
            result.places += 1
        result.found += [f"{name} in {place}" for name in sorted(seen)]
    return result


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def places(target: Target, run: Path) -> Iterator[tuple[str, Iterable[bytes] | Path]]:
    """Yield where no secret of a target may stand, as far as can be told from this host.

    Args:
        target: The deployment; the files of an embedded stack are on this host.
        run: The run's folder.
    """
    yield from _files(run, "run")
    how = target.restart
    if how is not None and how.state_file is not None:
        stack = how.state_file.parent
        for name in ("configs", "logs"):  # its data are Milvus's and the store's own
            yield from _files(stack / name, f"stack {name}")
        yield "stack state", how.state_file
        yield "stack target", stack / "target.yaml"
    if target.kubernetes is not None:
        yield from namespace.places(target.kubernetes)
    if target.state_file is not None:
        yield "state of the deployment", target.state_file
    yield from _arguments()


def _files(folder: Path, called: str) -> Iterator[tuple[str, Iterable[bytes] | Path]]:
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            place = f"{called}: {path.relative_to(folder)}"
            try:
                regular = stat.S_ISREG(path.lstat().st_mode)
            except OSError as error:
                yield place, _failing(error)
                continue
            if regular:
                yield place, path
    for error in closed:
        if not isinstance(error, FileNotFoundError):  # a stack need not have them all
            yield f"{called}: {error.filename}", _failing(error)


def _failing(error: OSError) -> Iterator[bytes]:
    """Return the content of what cannot be read."""
    raise error
    yield b""


def _arguments() -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield the arguments of the processes of this host, which all its users may read."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield f"arguments of process {path.parent.name}", [path.read_bytes()]
        except OSError:
            continue  # it has ended
