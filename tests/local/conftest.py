"""What the tests against real servers share: one embedded stack for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from validation.local.stack import EmbeddedStack
from validation.target import Target


@pytest.fixture(scope="session")
def embedded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A running stack in a fresh folder: Milvus 2.3.5 on a real S3 server."""
    with EmbeddedStack(tmp_path_factory.mktemp("stack") / "data") as stack:
        yield stack


@pytest.fixture(scope="session")
def embedded_target(embedded_stack: EmbeddedStack) -> Target:
    """The target of the one stack that all tests against real servers share.

    Use collections of your own, and drop them. Tests that restart or stop servers start a stack of
    their own instead.
    """
    return embedded_stack.target


@pytest.fixture(scope="session")
def embedded_target_file(embedded_stack: EmbeddedStack) -> Path:
    """The same target as a file, for commands."""
    return embedded_stack.status().target_file
