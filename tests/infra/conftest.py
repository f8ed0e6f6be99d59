from __future__ import annotations

import warnings

import declaring
import pytest

# What the provider of each resource would answer, for those that compute something.
declaring.GENERATED.setdefault("GreenLakeUser", ("secret_key",))


@pytest.fixture(autouse=True)
def _quiet_pulumi():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
