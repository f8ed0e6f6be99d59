"""A kubeconfig: found, read, and every way in which it cannot be used named.

A kubeconfig holds keys, so nothing of it but names of files, contexts and entries is ever shown.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from validation.errors import ConfigurationError

SECRET = "kubernetes.kubeconfig"  # noqa: S105  (a key's name)
FILE = "kubernetes.kubeconfigFile"
_DEFAULT = "~/.kube/config"
_NONE = "# The first control plane of this cluster has no kubeconfig.\n"
_TRY = "try `kubectl get namespaces` with the same kubeconfig and context"


def required(text: str | None) -> str:
    """Return the kubeconfig of a cluster that the kit made, or one that nothing can be reached by.

    An empty one would lead to whatever cluster the user's own kubeconfig names.
    """
    return text or _NONE


def api_client(props: dict[str, Any]) -> Any:
    """Return a Kubernetes API client for ``kubeconfig``, ``kubeconfig_file`` and ``context``.

    Raises:
        ConfigurationError: There is no kubeconfig, it is none, or it has no such context.
    """
    from kubernetes import config  # noqa: PLC0415  (half a second, and only needed here)

    documents = dict(_documents(props))
    where = ", ".join(documents)
    context = _context(props.get("context") or None, list(documents.values()), where)
    try:
        if props.get("kubeconfig"):
            return config.new_client_from_config_dict(documents[SECRET], context=context)
        return config.new_client_from_config(props.get("kubeconfig_file") or None, context=context)
    except (config.ConfigException, OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the kubeconfig cannot be used: {_reason(error)}", where=where, remedy=_TRY
        ) from None


def ended(props: dict[str, Any]) -> str:
    """Return when the client certificate ended, as a clause; empty unless it has."""
    from cryptography import x509  # noqa: PLC0415  (only needed to explain a refusal)

    documents = [document for _, document in _documents(props)]
    context = _context(props.get("context") or None, documents, "")
    try:
        user = _entry(documents, "contexts", context)["context"]["user"]
        found = _entry(documents, "users", user)["user"]
        text = found.get("client-certificate-data")
        pem = base64.b64decode(text) if text else Path(found["client-certificate"]).read_bytes()
        end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except (KeyError, TypeError, OSError, ValueError):
        return ""
    past = end < dt.datetime.now(dt.UTC)
    return (
        f"the client certificate of user {user} ended on {end:%Y-%m-%d %H:%M} UTC" if past else ""
    )


def _entry(documents: list[dict[str, Any]], section: str, name: str) -> dict[str, Any]:
    entries = [one for document in documents for one in document.get(section) or []]
    return next((one for one in entries if one.get("name") == name), {})


def _documents(props: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each source of the kubeconfig, and what is in it."""
    if props.get("kubeconfig"):
        yield SECRET, _parsed(props["kubeconfig"], SECRET)
        return
    named = props.get("kubeconfig_file")
    given = [named] if named else os.environ.get("KUBECONFIG", _DEFAULT).split(os.pathsep)
    files = [Path(one).expanduser() for one in given if one]
    there = [file for file in files if file.is_file()]
    if not there:
        key = FILE if named else "KUBECONFIG" if "KUBECONFIG" in os.environ else _DEFAULT
        raise ConfigurationError(
            "the kubeconfig file is not there",
            where=key,
            seen=os.pathsep.join(map(str, files)),
            remedy="correct the path; without kubernetes.kubeconfigFile, KUBECONFIG or"
            f" {_DEFAULT} is used",
        )
    for file in there:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigurationError(
                f"the kubeconfig file cannot be read: {reason}", where=str(file), remedy=_TRY
            ) from None
        yield str(file), _parsed(text, str(file))


def _parsed(text: str, where: str) -> dict[str, Any]:
    if text == _NONE:
        raise ConfigurationError(
            "the first control plane has no kubeconfig in the state",
            where="kubernetes.hosts",
            remedy="`pulumi refresh` reads it from the host; the first host with role:"
            " control-plane must be the one that started the cluster",
        )
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise ConfigurationError(
            f"the kubeconfig is not YAML{line}", where=where, remedy=_TRY
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), list):
        raise ConfigurationError(
            "this is not a kubeconfig: it has no contexts", where=where, remedy=_TRY
        )
    return document


def _context(wanted: str | None, documents: list[dict[str, Any]], where: str) -> str:
    """Return the context to use: the one that is asked for, or the current one."""
    entries = [one for document in documents for one in document["contexts"]]
    known = [str(one["name"]) for one in entries if isinstance(one, dict) and "name" in one]
    current = [document.get("current-context") for document in documents]
    chosen = wanted or next((one for one in current if one), None)
    if chosen in known:
        return str(chosen)
    what = f"has no context {chosen}" if chosen else "names no current context"
    raise ConfigurationError(
        f"the kubeconfig {what}; it has: {', '.join(known) or 'none'}",
        where=where if not wanted else f"{where}, kubernetes.context",
        remedy="set kubernetes.context to one of them",
    )


def _reason(error: Exception) -> str:
    """Return what is wrong, without anything that could be a key."""
    if isinstance(error, binascii.Error):
        return "a certificate or key in it is not base64"
    said = str(error)
    if said.startswith(("Invalid kube-config", "File does not exist")):
        return said
    return type(error).__name__
