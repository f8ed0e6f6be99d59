"""A real Prometheus beside a test: it scrapes, answers queries and tells which alerts fire."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from infra.observability import alerts
from tests.waiting import eventually

NAMESPACE = "ns"


@dataclass(frozen=True)
class Prometheus:
    """A server that runs.

    Args:
        url: Of its API.
    """

    url: str

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return what a query finds now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": text}, trust_env=False)
        found = answer.json()
        assert found["status"] == "success", (text, found)
        return found["data"]["result"]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = httpx.get(f"{self.url}/api/v1/alerts", trust_env=False).json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}


@contextlib.contextmanager
def running(
    program: Path, folder: Path, *, port: int, targets: dict[str, str]
) -> Iterator[Prometheus]:
    """Run a Prometheus with the kit's alerts, which fire at once here.

    Args:
        program: The command.
        folder: For its files.
        port: On 127.0.0.1.
        targets: Addresses that it scrapes, by the names of what the PodMonitors select.
    """
    rules = alerts.rules(NAMESPACE)
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = rule["expr"].replace("[5m]", "[15s]")
        rule["for"] = "0s"
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [
            {
                "job_name": f"{NAMESPACE}/{name}",  # as the operator calls a PodMonitor's
                "static_configs": [
                    {
                        "targets": [address],
                        "labels": {"namespace": NAMESPACE, "pod": f"{name}-0"},
                    }
                ],
            }
            for name, address in targets.items()
        ],
    }
    folder.mkdir(exist_ok=True)
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(program),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    made = Prometheus(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")[-2000:]
        try:
            return httpx.get(f"{made.url}/-/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        eventually(ready, seconds=60)
        yield made
    finally:
        process.terminate()
        process.wait(30)


def tested(promtool: Path, folder: Path, cases: list[dict[str, Any]]) -> str:
    """Return what ``promtool test rules`` says about the kit's alerts; empty if all is right."""
    (folder / "alerts.yaml").write_text(yaml.safe_dump(alerts.rules(NAMESPACE)), encoding="utf-8")
    document = {
        "rule_files": [str(folder / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": cases,
    }
    (folder / "test.json").write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        [str(promtool), "test", "rules", str(folder / "test.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
