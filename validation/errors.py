"""Every error the kit raises on purpose, and the exit code each one ends the command with.

MilvusKitError (4: internal)
├── UsageError (2)
│   ├── ConfigurationError      a file or key the user wrote is wrong
│   ├── DatasetError            a corpus, query set, judgement or vector file is wrong
│   ├── OwnershipError          a collection, bucket or object is there and is not ours
│   └── MissingToolError        an optional part is needed here and is not installed
├── UnreachableError (3)        an endpoint does not answer, or answers as something else
│   └── CredentialsError        it answers and refuses our identity
├── MeasurementError (4)        a measurement broke off: it yields "not measured", never a verdict
│   └── UnsupportedError        the server cannot do what was asked
├── CertificateError (1)        a certificate does not hold, or is none
└── EmbeddedStackError (4)      a server of the embedded stack did not come up, or went away

Every message answers four questions: what was wrong, where, which value was seen, what to do next.
Messages never hold a secret: pass the name of a secret, not its value.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What a command's exit status means."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERNAL = 4
    INCONCLUSIVE = 5
    INTERRUPTED = 130


class MilvusKitError(Exception):
    """Base of the tree.

    Args:
        what: What was wrong, as a sentence without a final full stop.
        where: The file and key, the endpoint, or the object concerned.
        seen: The value that was found; shown as its repr, shortened.
        remedy: What to do next.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(
        self, what: str, *, where: str = "", seen: object = None, remedy: str = ""
    ) -> None:
        self.what = what
        self.where = where
        self.seen = seen
        self.remedy = remedy
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Return the whole message, one line for the fact and one for the remedy."""
        fact = f"{self.where}: {self.what}" if self.where else self.what
        if self.seen is not None:
            shown = repr(self.seen)
            fact += f" (seen: {shown if len(shown) <= 120 else shown[:117] + '...'})"  # noqa: PLR2004
        return f"{fact}\n  -> {self.remedy}" if self.remedy else fact


class UsageError(MilvusKitError):
    """The command, or something the user gave it, is wrong."""

    exit_code = ExitCode.USAGE


class ConfigurationError(UsageError):
    """A configuration file or key is wrong."""


class DatasetError(UsageError):
    """A corpus, query set, judgement or vector file is wrong."""


class OwnershipError(UsageError):
    """Something of that name is there already and this kit did not make it."""


class MissingToolError(UsageError):
    """An optional part is needed and is not installed."""


class UnreachableError(MilvusKitError):
    """An endpoint does not answer, or answers as something else."""

    exit_code = ExitCode.UNREACHABLE


class CredentialsError(UnreachableError):
    """An endpoint answers and refuses the identity we gave."""


class MeasurementError(MilvusKitError):
    """A measurement broke off. It is reported as "not measured" with this reason."""


class UnsupportedError(MeasurementError):
    """The server cannot do what was asked, so there is nothing to measure."""


class CertificateError(MilvusKitError):
    """A certificate does not hold, or is none."""

    exit_code = ExitCode.FAIL


class EmbeddedStackError(MilvusKitError):
    """A server of the embedded stack did not come up, or went away."""
