"""One stack in the tests' hands: brought up, changed, looked at and destroyed as a user would."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e import command, evidence, host, project
from tests.e2e.engine import Engine
from tests.e2e.toolchain.provide import Toolchain
from validation.certificate import FILE
from validation.common.progress import Progress
from validation.errors import MilvusKitError


@dataclasses.dataclass
class Deployment:
    """A stack by its name.

    Args:
        stack: Its name.
        pulumi: The engine.
        tools: The toolchain.
        folder: Of the run.
        progress: Shows what is done.

    ``hidden`` are secrets that pods tell in their logs; they are masked where logs are kept.
    """

    stack: str
    pulumi: Engine
    tools: Toolchain
    folder: Path
    progress: Progress
    known: bool = dataclasses.field(default=False, init=False)
    hidden: set[str] = dataclasses.field(default_factory=set, init=False)

    @property
    def file(self) -> Path:
        """Return the stack's file in the project."""
        return self.pulumi.root / "stacks" / f"Pulumi.{self.stack}.yaml"

    def exists(self) -> bool:
        """Return whether the stack has a state; once it has one, it is not asked for again."""
        self.known = self.known or f'"{self.stack}"' in self.pulumi.run("stack", "ls", "--json")
        return self.known

    def has_cluster(self) -> bool:
        """Return whether there is a cluster to look at."""
        return bool(host.node_record())

    def up(self, *more: str) -> str:
        """Bring the stack up; what stands in the way of a failed one is told first.

        Raises:
            MilvusKitError: It failed.
        """
        if not self.exists():
            self.pulumi.run("stack", "init", self.stack)
        with self.progress.step(f"pulumi up -s {self.stack}"):
            try:
                return self.pulumi.run("up", "-s", self.stack, "--yes", "--skip-preview", *more)
            except MilvusKitError as error:
                causes = evidence.causes(self)
                error.what = "\n".join([*causes, error.what])
                error.args = (error.sentence(),)
                raise

    def destroy(self) -> str:
        """Destroy everything of the stack, once what explains the run has been kept."""
        evidence.collect(self, self.progress)
        with self.progress.step(f"pulumi destroy -s {self.stack}"):
            return self.pulumi.run("destroy", "-s", self.stack, "--yes", "--skip-preview")

    def changes(self) -> dict[str, list[str]]:
        """Return what another update would do: operations, and the names of their resources."""
        text = self.pulumi.run("preview", "-s", self.stack, "--json")
        steps = json.loads(text[text.index("{") :])["steps"]
        found: dict[str, list[str]] = {}
        for step in steps:
            if step["op"] not in {"same", "read"}:
                found.setdefault(step["op"], []).append(step["urn"].rsplit("::", 1)[-1])
        return found

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the stack's configuration as a user with an editor would."""
        project.edit(self.file, lambda document: change(document["config"]))

    def validate(self, *more: str) -> tuple[int, str]:
        """Run ``milvus-kit validate`` from outside the cluster; return exit code and output."""
        return self.kit("validate", *self._named, "--runs", str(self._runs), *more)

    def fetch(self, *more: str) -> tuple[int, str]:
        """Run ``milvus-kit fetch`` for the run of the Job inside; return exit code and output."""
        return self.kit("fetch", *self._named, "--runs", str(self._runs), *more)

    def baseline(self, *more: str) -> tuple[int, str]:
        """Run ``milvus-kit baseline``; return exit code and output."""
        return self.kit("baseline", *self._named, *more)

    def compare(self, base: Path, *more: str) -> tuple[int, str]:
        """Run ``milvus-kit compare`` with a baseline; return exit code and output."""
        return self.kit("compare", str(base), *self._named, *more)

    def manifest(self, name: str) -> Path:
        """Make a manifest of the whole database and return its folder.

        Raises:
            MilvusKitError: Something was not read.
        """
        folder = self.folder / f"manifest-{self.stack}-{name}"
        status, output = self.kit("manifest", *self._named, "-o", str(folder))
        if status:
            raise MilvusKitError(f"no manifest: {output[-2000:]}", seen=status)
        return folder

    def manifests_differ(self, before: Path, after: Path) -> tuple[int, str]:
        """Run ``milvus-kit manifest diff``; return exit code and output."""
        return self.kit("manifest", "diff", str(before), str(after))

    def certified(self) -> dict[str, str]:
        """Certify the latest run, verify its certificate, and return its subjects' SHA-256.

        Raises:
            MilvusKitError: A command failed.
        """
        private, public = (
            self.folder / name for name in ("certificate.pem", "certificate.pub.pem")
        )
        kit = Path(sys.executable).with_name("milvus-kit")
        for line in (
            ("openssl", "genpkey", "-algorithm", "ed25519", "-out", private),
            ("openssl", "pkey", "-in", private, "-pubout", "-out", public),
            (kit, "certify", self.latest, "--key", private),
            (kit, "verify", self.latest, "--key", public),
        ):
            command.run(line, where=f"certifying {self.latest}", remedy="look at what it said")
        private.unlink()
        line = (self.latest / FILE).read_text(encoding="utf-8").splitlines()[0]
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        return {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}

    @property
    def latest(self) -> Path:
        """Return the folder of the run that was made or fetched last."""
        return (self._runs / "latest").resolve()

    def answers(self) -> list[str]:
        """Return what the latest run says of what binds the stack: its store, or compute."""
        results = json.loads((self.latest / "results.json").read_text(encoding="utf-8"))
        return [
            one["evidence"].get("answer", "")
            for one in results["observations"]
            if one["metric"].startswith("storage.share_of")
        ]

    @property
    def _named(self) -> tuple[str, str]:
        return "-s", self.stack

    @property
    def _runs(self) -> Path:
        return self.folder / "validation"

    def kit(self, command: str, *more: str) -> tuple[int, str]:
        """Run a command of ``milvus-kit`` as a user would; return exit code and output."""
        kit = Path(sys.executable).with_name("milvus-kit")
        with self.progress.step(f"milvus-kit {command} of {self.stack}"):
            done = subprocess.run(
                [str(kit), command, *more],
                cwd=self.pulumi.root,
                env=self.pulumi.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=900,
            )
        log = self.folder / f"{command}-{self.stack}.log"
        with log.open("a", encoding="utf-8") as stream:
            stream.write(done.stdout)
        return done.returncode, done.stdout

    @contextmanager
    def kubeconfig(self) -> Iterator[Path]:
        """Yield the administrator's kubeconfig in a file that is gone afterwards.

        Raises:
            MilvusKitError: The stack has no cluster.
        """
        source = Path("/etc/kubernetes/admin.conf")
        if not source.exists():
            raise MilvusKitError("there is no cluster", where=str(source))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kubeconfig"
            path.touch(mode=0o600)
            path.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
            yield path

    def kubectl(
        self, *arguments: str, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``kubectl`` against the stack's cluster."""
        with self.kubeconfig() as path:
            kubectl = self.tools.command("kubernetes", "kubectl")
            return subprocess.run(
                [str(kubectl), "--kubeconfig", str(path), "--request-timeout=20s", *arguments],
                input=given,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )

    def objects(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """Return the live objects of a kind."""
        done = self.kubectl("get", kind, "-n", namespace, "-o", "json")
        return json.loads(done.stdout)["items"] if done.returncode == 0 else []
