"""`milvus-kit preflight`: can this S3 store carry Milvus, and what to set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_ENDPOINT = "options for an endpoint"
_ALLOW = "what the checks may use"


def command(
    *,
    target: Annotated[
        Path | None, typer.Option("--target", "-t", help="Target document with a storage section.")
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", "-s", help="Stack whose storage settings are used.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="http(s)://host:port", rich_help_panel=_ENDPOINT)
    ] = None,
    bucket: Annotated[str | None, typer.Option(rich_help_panel=_ENDPOINT)] = None,
    root_path: Annotated[str, typer.Option(rich_help_panel=_ENDPOINT)] = "files",
    region: Annotated[str, typer.Option(rich_help_panel=_ENDPOINT)] = "us-east-1",
    provider: Annotated[
        str, typer.Option(help="minio, x10000, s3, emulator", rich_help_panel=_ENDPOINT)
    ] = "s3",
    access_key_env: Annotated[
        str, typer.Option(help="Variable with the access key.", rich_help_panel=_ENDPOINT)
    ] = "AWS_ACCESS_KEY_ID",
    secret_key_env: Annotated[
        str, typer.Option(help="Variable with the secret key.", rich_help_panel=_ENDPOINT)
    ] = "AWS_SECRET_ACCESS_KEY",  # noqa: S107  (a variable's name)
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM of a private CA.", rich_help_panel=_ENDPOINT)
    ] = None,
    wal: Annotated[
        str | None, typer.Option(help="The log to be used; woodpecker-embedded adds its rules.")
    ] = None,
    make_buckets: Annotated[
        bool,
        typer.Option(
            "--make-buckets",
            help="Allow buckets named milvus-kit-preflight-…, removed again.",
            rich_help_panel=_ALLOW,
        ),
    ] = False,
    versioned_bucket: Annotated[
        str | None, typer.Option(help="A bucket with versioning.", rich_help_panel=_ALLOW)
    ] = None,
    backup_bucket: Annotated[
        str | None, typer.Option(help="The bucket for backups.", rich_help_panel=_ALLOW)
    ] = None,
    other_bucket: Annotated[
        str | None,
        typer.Option(help="A bucket the key must not read.", rich_help_panel=_ALLOW),
    ] = None,
    bucket_creation: Annotated[
        str | None,
        typer.Option(help="May the key make buckets: allowed, refused.", rich_help_panel=_ALLOW),
    ] = None,
    prefix_isolation: Annotated[
        bool,
        typer.Option(
            "--prefix-isolation",
            help="The key must be refused outside its root path.",
            rich_help_panel=_ALLOW,
        ),
    ] = False,
    outsider_access_key_env: Annotated[
        str | None,
        typer.Option(
            help="Variable with a key that may write outside the root path, to prove isolation.",
            rich_help_panel=_ALLOW,
        ),
    ] = None,
    outsider_secret_key_env: Annotated[
        str | None, typer.Option(help="Variable with its secret.", rich_help_panel=_ALLOW)
    ] = None,
    performance: Annotated[
        bool, typer.Option("--performance", help="Measure speed too: some minutes, some GiB.")
    ] = False,
    more_endpoints: Annotated[
        list[str] | None,
        typer.Option("--more-endpoint", help="A further endpoint of the same store, for speed."),
    ] = None,
    profile: Annotated[
        Path, typer.Option(help="Where to write the machine-readable profile.")
    ] = Path("profile.json"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the verdict only.")] = False,
) -> None:
    """Check whether an S3 store can carry Milvus, which log it allows, and what to set.

    Works only below a prefix of its own, ROOT_PATH/milvus-kit-preflight-…/, and removes it again.
    """
    from validation.s3 import console, contract
    from validation.s3.performance import Plan
    from validation.s3.workspace import Permissions

    storage, declared = contract.chosen(
        target=target,
        stack=stack,
        endpoint=endpoint,
        bucket=bucket,
        more={
            "root_path": root_path,
            "region": region,
            "provider": provider,
            "access_key": {"env": access_key_env},
            "secret_key": {"env": secret_key_env},
            "tls": {"mode": "server", "ca_file": ca_file} if ca_file else {},
        },
    )
    permissions = Permissions(
        make_buckets=make_buckets,
        versioned_bucket=versioned_bucket,
        backup_bucket=backup_bucket,
        other_bucket=other_bucket,
        bucket_creation=contract.one_of("--bucket-creation", bucket_creation, contract.CREATION),
        prefix_isolation=prefix_isolation,
        outsider=contract.outsider(outsider_access_key_env, outsider_secret_key_env),
    )
    wanted = contract.log(wal) or declared
    code = console.run(
        storage,
        permissions,
        path=profile,
        wal=wanted,
        plan=Plan() if performance else None,
        endpoints=more_endpoints or (),
        quiet=quiet,
    )
    raise typer.Exit(code)
