"""The published tools that a real cluster is made of, built once and kept in the cache.

A machine without an image registry or a Kubernetes package source can still run the whole: every
tool comes from the Go module proxy or from Debian. ``parts.py`` says which, ``gobuild.py`` builds,
``seed.py`` takes ready-made binaries, ``debian.py`` installs, ``provide`` is what others call.
"""

from __future__ import annotations

from tests.e2e.toolchain.provide import Toolchain, provide

__all__ = ["Toolchain", "provide"]
