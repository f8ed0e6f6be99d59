"""What a program imports before it can declare anything: every preview waits for it."""

import subprocess
import sys

import pytest

CLIENTS = (
    "boto3",
    "botocore",
    "cryptography",
    "httpx",
    "kubernetes",
    "pymilvus",
    "rich",
    "stamina",
)
"""Libraries that talk to servers or make keys, each tens or hundreds of milliseconds to import.

Only the dynamic providers' process needs them, and only when it has something to do.
"""


def clients_imported_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sorted(set(sys.modules) & set({CLIENTS!r})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_a_program_is_imported_without_the_clients_that_only_its_providers_talk_with():
    assert clients_imported_by("import infra.program") == set()


@pytest.mark.parametrize(
    ("module", "client"),
    [
        ("infra.storage.greenlake.declared", "httpx"),
        ("infra.storage.minio.admin", "botocore"),
        ("infra.secrets.x509", "cryptography"),
    ],
)
def test_a_program_that_imported_a_client_would_be_caught(module, client):
    assert client in clients_imported_by(f"import infra.program, {module}")
