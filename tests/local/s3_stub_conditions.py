"""Conditional writes of the S3 stub, and the ways in which they can fail to be exclusive.

``conditional.multipart-race``: completions know of PUTs and not of each other; while one assembles,
a PUT is told 409. ``conditional.mixed-race``: completions know of each other and not of PUTs.
"""

from __future__ import annotations

from s3_stub_model import Request, S3Error, Version

_RIVAL_SECONDS = 2.0
"""How long a write waits for a rival's, which may never come."""
_ASSEMBLY_SECONDS = 0.5


class Conditions(Request):
    """What a request with a condition does before it writes."""

    def check_conditions(self, *, multipart: bool = False) -> None:
        if not multipart:
            self._meet_completion()
        current = self.bucket.current(self.key)
        if self.headers.get("if-none-match") == "*":
            self._refuse_meanwhile(multipart=multipart)
            if multipart and self.broken("no conditional completion"):
                raise S3Error(412, "PreconditionFailed")
            if self.bucket.versioned and self.broken("conditional.versioned"):
                raise S3Error(501, "NotImplemented")
            if self.key in self.bucket.tombs and self.broken("conditional.after-delete"):
                raise S3Error(412, "PreconditionFailed")
            if current is not None and not self._ignored(current, multipart=multipart):
                raise S3Error(412, "PreconditionFailed")
        match = self.headers.get("if-match", "")
        bare = match.strip('"')
        outdated = match and (current is None or current.etag.strip('"') != bare)
        if bare != match and self.broken("conditional.if-match"):
            outdated = False
        if bare == match != "" and self.broken("conditional.if-match-bare"):
            outdated = True
        if outdated:
            raise S3Error(412, "PreconditionFailed")

    def _ignored(self, current: Version, *, multipart: bool) -> bool:
        """Tell whether a fault lets a conditional write pass that must be refused."""
        last = self.key.rpartition("/")[2]
        raced = last.startswith("race-")
        fences = [one.get("x-amz-meta-fenced") for one in (current.metadata, self.headers)]
        return (
            (multipart and not raced and self.broken("conditional.multipart"))
            or (last == "0.blk" and self.broken("conditional.fence-race"))
            or (fences == ["true", "true"] and last == "3.blk" and self.broken("conditional.fence"))
            or ("conditional_write_test" in last and self.broken("conditional.detection"))
            or (
                raced
                and self.key not in self.stub.uploaded
                and not self.bucket.versioned
                and self.broken("conditional.race")
                and self.stub.first(f"second winner {self.key}")
            )
        )

    def pause(self) -> None:
        """Let a rival in between the check of a condition and the write that stands on it."""
        raced = self.key.rpartition("/")[2].startswith(("race-", "0.blk"))
        if raced and self.broken("check, then write") and "if-none-match" in self.headers:
            self.stub.writers[self.key] += 1
            self.stub.checked.notify_all()
            self.stub.checked.wait_for(lambda: self.stub.writers[self.key] > 1, _RIVAL_SECONDS)

    def _conditional(self) -> bool:
        return self.headers.get("if-none-match") == "*"

    def _refuse_meanwhile(self, *, multipart: bool) -> None:
        """Refuse what comes while a completion of the key is under way, as far as it is known."""
        apart, beside = map(self.broken, ("conditional.multipart-race", "conditional.mixed-race"))
        knows = (beside and not apart) if multipart else (apart and not beside)
        if knows and self.stub.completing[self.key]:
            raise S3Error(409, "ConditionalRequestConflict")

    def _meet_completion(self) -> None:
        """Let a PUT come while a completion is under way, if there is to be one."""
        meets = self._conditional() and self.broken("conditional.mixed-race")
        if meets and self.key in self.stub.uploaded:
            begun = f"completes {self.key}"
            self.stub.checked.wait_for(lambda: self.stub.writers[begun] > 0, _ASSEMBLY_SECONDS)

    def assemble(self) -> None:
        """Take a moment for an upload's completion, after its condition was checked."""
        if not self._conditional():
            return
        apart, beside = map(self.broken, ("conditional.multipart-race", "conditional.mixed-race"))
        begun = f"completes {self.key}"
        self.stub.writers[begun] += 1
        self.stub.completing[self.key] += 1
        self.stub.checked.notify_all()
        if apart or beside:
            self.stub.checked.wait_for(
                lambda: (
                    (apart and self.stub.writers[begun] > 1)
                    or (beside and self.bucket.current(self.key) is not None)
                ),
                _ASSEMBLY_SECONDS,
            )
        elif self.broken("completions check, assemble for 50 ms, then write"):
            self.stub.checked.wait(0.05)
        self.stub.completing[self.key] -= 1
