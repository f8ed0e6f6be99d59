"""What an API server answers, as JSON, and what it means that it does not."""

from __future__ import annotations

import http
import json
from typing import Any

from validation.errors import CredentialsError, UnreachableError

_SECONDS = 30


class Server:
    """Answers of an API server as plain documents: the client's models take a second to import.

    Args:
        client: An API client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, path: str, **query: str) -> Any:
        """Return the answer to a GET of this path; None where it is not JSON.

        Raises:
            ApiException: For each answer but 200.
        """
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)

        request = self._client.param_serialize(
            "GET",
            path,
            query_params=[*query.items()],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request, _request_timeout=_SECONDS)
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise ApiException(status=answer.status, reason=answer.reason)
        try:
            return json.loads(text)
        except ValueError:
            return None

    def ask(self, path: str, key: str, **query: str) -> Any:
        """Return what stands under a key in the answer.

        Raises:
            ApiException: For each answer that does not have it.
        """
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)

        try:
            return self.get(path, **query)[key]
        except (KeyError, TypeError):
            reason = f"and no {key}, which Kubernetes has at {path}"
            raise ApiException(status=http.HTTPStatus.OK, reason=reason) from None

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        return self.ask(path, "items", **query) or []


def refusal(error: Exception, where: str, *, ended: str, need: str) -> UnreachableError:
    """Return what an error of the client's means.

    Args:
        error: Its ApiException, or whatever a connection ends with.
        where: The API server.
        ended: When the client certificate ended, as a clause; empty unless it has.
        need: What the user of the kubeconfig must be able to do.
    """
    return (
        _answered(error, where, ended, need)
        if hasattr(error, "status")
        else _unreached(error, where, ended)
    )


def _answered(error: Any, where: str, ended: str, need: str) -> UnreachableError:
    """Return what an answer of the API server's means."""
    what = f"the API server answers {error.status} {error.reason}"
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        return CredentialsError(
            f"{what}: {ended or 'it does not know the user of the kubeconfig'}",
            where=where,
            remedy=_RENEW,
        )
    if error.status == http.HTTPStatus.FORBIDDEN:
        return CredentialsError(
            what,
            where=where,
            remedy=need,
        )
    return UnreachableError(
        what, where=where, remedy="check that this address is a Kubernetes API server"
    )


def _unreached(error: Exception, where: str, ended: str) -> UnreachableError:
    """Return what a connection that failed means; TLS has a reason for each side."""
    reason = getattr(error, "reason", error)
    said = str(reason)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        why = said.partition("verify failed: ")[2].partition(" (_ssl")[0]
        return UnreachableError(
            f"the API server's certificate is not accepted: {why}",
            where=where,
            remedy="the kubeconfig's certificate-authority-data, or its server's address, is that"
            " of another cluster",
        )
    if "_ALERT_" in said or ended:
        what = f"the API server refuses the client certificate: {ended or said}"
        return CredentialsError(what, where=where, remedy=_RENEW)
    if local := next((why for mark, why in _LOCAL.items() if mark in said), ""):
        return CredentialsError(local, where=where, remedy=_RENEW)
    return UnreachableError(
        f"the API server does not answer: {type(reason).__name__}: {said[:200]}",
        where=where,
        remedy="check the kubeconfig's server, its CA, and the network between (VPN, proxy)",
    )


_LOCAL = {
    "KEY_VALUES_MISMATCH": "the kubeconfig's client certificate and key do not belong together",
    "PEM lib": "the kubeconfig's client certificate or key is not PEM",
    "NO_CERTIFICATE_OR_CRL_FOUND": "the kubeconfig's certificate-authority-data is not PEM",
}
"""What OpenSSL says of files that it is given, and what that means."""
_RENEW = "fetch the kubeconfig again: its client certificate, key or token is wrong or has ended"
