"""What a secret looks like that was pasted wrong: told before a server says only "refused"."""

from __future__ import annotations

_LONGEST_KEY = 200
"""Longer secrets are documents (kubeconfigs, certificates), which may well end with a new line."""


def why_unusable(text: str) -> str:
    """Return why a text cannot be the secret that was meant; empty if it can."""
    if not text.strip():
        return "the secret is empty"
    if len(text) < _LONGEST_KEY and text != text.strip():
        return "the secret begins or ends with white space"
    return ""
