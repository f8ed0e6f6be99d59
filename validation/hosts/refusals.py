"""What ssh says when it does not get through, as errors that name the way out."""

from __future__ import annotations

from validation.errors import CredentialsError, UnreachableError

SSH_FAILED = 255
"""ssh's own exit status; every other one is the command's."""


def refused(where: str, said: str) -> UnreachableError:
    """Return the error for a host that ssh does not get through to.

    Args:
        where: User, address and port.
        said: What ssh said.
    """
    if "Host key verification failed" in said:
        return CredentialsError(
            "the host shows another host key than is declared",
            where=where,
            seen=said.splitlines()[-1],
            remedy="find out why before you change the host key: it may be another machine",
        )
    if "Permission denied" in said:
        return CredentialsError(
            f"the host does not let this key in: {said}",
            where=where,
            remedy="check user and private key, and authorized_keys on the host",
        )
    return UnreachableError(
        f"ssh does not get through: {said}",
        where=where,
        remedy="check address, port and user, and that sshd runs on this host",
    )
