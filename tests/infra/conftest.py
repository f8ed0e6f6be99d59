from __future__ import annotations

import functools
import warnings

import declaring
import kubernetes_validate.utils
import pytest
from engine_stack import engine_home

# What the provider of each resource would answer, for those that compute something.
declaring.GENERATED.setdefault("GreenLakeUser", ("secret_key",))

# Kubernetes's definitions are megabytes of JSON, which would be read again for every object.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)


@pytest.fixture(autouse=True)
def _quiet_pulumi():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine of the module's own: its environment and its folder."""
    folder = tmp_path_factory.mktemp("engine")
    return engine_home(folder), folder
