"""What Milvus has in memory: taking a collection out of it, for certain."""

from __future__ import annotations

from validation.errors import MeasurementError, MilvusKitError
from validation.milvus.connection import Connection

_SECONDS = 8


def release(connection: Connection, name: str) -> None:
    """Take a collection out of memory and make sure that it is.

    Raises:
        MilvusKitError: It is not.
    """
    with connection.explained(f"release {name}"):
        connection.client.release_collection(name, timeout=_SECONDS)
        found = connection.client.get_load_state(name, timeout=_SECONDS)["state"].name
    if found != "NotLoad":
        raise MeasurementError(f"{name} is in state {found} after it was released")


def told(error: MilvusKitError) -> str:
    """Return an error in one line, with what was seen."""
    return f"{error.what} ({error.seen})" if error.seen else error.what
