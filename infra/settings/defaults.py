"""What a stack gets when it says nothing, where that depends on the environment.

The models' own defaults are those of dev; the differences of prod stand here, once.
"""

from __future__ import annotations

from typing import Any

PROD: dict[str, Any] = {
    "storage": {"protect": True, "retainOnDelete": True},
    "milvus": {"auth": {"enabled": True}, "tls": {"mode": "server"}, "readySeconds": 30},
    "etcd": {
        "members": 3,
        "auth": True,
        "tls": True,
        "spread": "required",
        "snapshots": {},
        "resources": {"cpu": "1", "memory": "4Gi"},
    },
    "images": {"requireDigest": True},
}


def filled(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the environment's defaults under what it says itself."""
    if document.get("environment") != "prod":
        return document
    sections = {key: value for key, value in PROD.items() if key in document or key != "storage"}
    return _under(sections, document)


def _under(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in given.items():
        beneath = defaults.get(key)
        merged[key] = (
            _under(beneath, value)
            if isinstance(beneath, dict) and isinstance(value, dict)
            else value
        )
    return merged
