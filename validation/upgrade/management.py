"""The management port of a mixcoord: which log is in force, and the request for another.

``GET /management/config/get?keys=mq.type`` and ``POST /management/wal/alter``; see
``internal/coordinator/restful_mgr_routes.go`` of Milvus 3.0.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from validation.errors import (
    ConfigurationError,
    MeasurementError,
    MilvusKitError,
    UnreachableError,
    UsageError,
)
from validation.milvus.waiting import poll
from validation.target import Wal

NOW = "woodpecker"
"""The log that is asked for, by Milvus's name."""
_KEY = "mq.type"
_ANSWER_SECONDS, _SWITCH_SECONDS = 30.0, 300.0
_GIVE = "give http://HOST:9091 of the mixcoord (or standalone)"


class Port:
    """The management port of a mixcoord.

    Args:
        base: Its base URL, without a user; None where it is not known.

    Raises:
        UsageError: It is not known, or no such URL.
    """

    def __init__(self, base: str | None) -> None:
        if base is None:
            raise UsageError(
                "it is not known where the mixcoord's management port is",
                where="--management",
                remedy="`kubectl port-forward` its port 9091, and give http://127.0.0.1:9091",
            )
        try:
            parts = urlsplit(base)
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            whole = False
        if "@" in base:  # it may hold a password: the value is not shown
            raise UsageError(
                "this URL names a user, and the management port knows none",
                where="--management",
                remedy=_GIVE,
            )
        if not whole:
            raise UsageError("this is no base URL", where="--management", seen=base, remedy=_GIVE)
        self.base = base.rstrip("/")

    def running(self) -> str:
        """Return the log in force, by Milvus's name.

        Raises:
            UnreachableError: Nothing answers.
            MeasurementError: It does not say.
        """
        answer = self._asked("GET", f"/management/config/get?keys={_KEY}")
        listed = answer.get("configs")
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and one.get("key") == _KEY and one.get("value"):
                return str(one["value"])
        raise MeasurementError(
            f"the server does not say which log is in force ({_KEY})",
            where=self.base,
            seen=answer,
            remedy="look in its log; without that no switch can be confirmed",
        )

    def require_running(self, was: Wal) -> None:
        """Make sure that the declared log is the one in force.

        Raises:
            ConfigurationError: It is another, or the server does not name it.
        """
        seen = self.running()
        if seen == was.value:
            return
        unnamed = seen == "default"
        raise ConfigurationError(
            f"the target declares the log {was}, and the server does not name the one in force"
            if unnamed
            else f"the target declares the log {was}, and another is in force",
            where=self.base,
            seen=seen,
            remedy=f"set {_KEY} to {was} in Milvus's settings and restart it: a default chooses by"
            " what else is configured"
            if unnamed
            else "correct milvus.wal of the target",
        )

    def alter(self) -> None:
        """Ask for the switch; a request without an answer may have been heard.

        Raises:
            MeasurementError: It is refused.
        """
        try:
            self._asked("POST", "/management/wal/alter", {"target_wal_name": NOW})
        except UnreachableError:
            return  # whether it was heard, `wait` finds out

    def wait(self) -> None:
        """Wait until the new log is in force; Milvus may restart meanwhile.

        Raises:
            MeasurementError: It is not in time.
        """
        last = ""

        def in_force() -> bool:
            nonlocal last
            try:
                last = f"the log in force is {(seen := self.running())}"
            except MilvusKitError as error:
                last = error.sentence().partition("\n")[0]
                return False
            return seen == NOW

        try:
            poll(
                in_force,
                seconds=_SWITCH_SECONDS,
                doing=f"switch the log to {NOW}",
                where=self.base,
            )
        except MeasurementError as error:
            raise MeasurementError(
                error.what, where=self.base, seen=last, remedy=error.remedy
            ) from None

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        import httpx  # noqa: PLC0415  (slow to import)

        where = f"{self.base}{path.partition('?')[0]}"
        try:
            answer = httpx.request(
                method, self.base + path, json=body, timeout=_ANSWER_SECONDS, trust_env=False
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"the management port does not answer: {type(error).__name__}",
                where=where,
                remedy="give the base URL of the mixcoord's (or standalone's) port 9091",
            ) from None
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.status_code != httpx.codes.OK or not isinstance(content, dict):
            raise MeasurementError(
                "the management port refused",
                where=where,
                seen=f"HTTP {answer.status_code} {content or answer.text[:200]}",
                remedy="other roles do not serve it: give the mixcoord's port; look in its log",
            )
        return content
