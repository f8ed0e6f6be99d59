"""What the kit's own dynamic resources have in common: a mistake is a message, not a traceback.

A refresh or a destroy logs in with what the state holds, whether or not the program runs, so what
was rotated since the last `up` is refused there. The error says so.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from pulumi.dynamic import ConfigureRequest, ResourceProvider

from validation.errors import CredentialsError, MilvusKitError

_WHOLE = 1000
_CALLS = ("check", "create", "delete", "diff", "read", "update")
_FROM_STATE = ("delete", "read")
"""Calls that have nothing but the state to log in with."""
OUTDATED = (
    "; these are the credentials of the last `pulumi up`, which the state holds: if they have been"
    " changed since, run `pulumi up` first, which takes the new ones over"
)


class Provider(ResourceProvider):
    """A provider of dynamic resources.

    Pulumi's plugin shows whatever a provider raises with its whole traceback. For errors that the
    kit raises on purpose only the message is left, unless MILVUS_KIT_DEBUG is set.
    """

    # Nothing secret is pickled with a provider, only its name.
    serialize_as_secret_always = False
    _in_plugin = False

    def configure(self, req: ConfigureRequest) -> None:
        """Remember that this is the plugin's process: the program keeps its tracebacks."""
        super().configure(req)
        self._in_plugin = True

    def __init_subclass__(cls, **more: Any) -> None:
        """Wrap the calls that the subclass defines."""
        super().__init_subclass__(**more)
        for name in _CALLS:
            if name in cls.__dict__:
                setattr(cls, name, _plainly(cls.__dict__[name]))


def _plainly(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def plainly(self: Provider, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self, *args, **kwargs)
        except MilvusKitError as error:
            if isinstance(error, CredentialsError) and call.__name__ in _FROM_STATE:
                error.remedy = (error.remedy or "") + OUTDATED
                error.args = (error.sentence(),)
            if self._in_plugin and not os.environ.get("MILVUS_KIT_DEBUG"):
                sys.tracebacklimit = 0
            raise
        except Exception:
            sys.tracebacklimit = _WHOLE
            raise

    return plainly
