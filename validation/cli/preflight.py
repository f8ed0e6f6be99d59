"""`milvus-kit preflight`: can this S3 store carry Milvus, and what to set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_LOGS = "rocksmq, kafka, pulsar, woodpecker-embedded or woodpecker-service"


def command(
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "--target",
            "-t",
            metavar="FILE",
            help="Target document whose storage section describes the store.",
        ),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack", "-s", metavar="NAME", help="Stack whose storage settings describe it."
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The store itself, http(s)://host:port; give --bucket too.",
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --endpoint: the bucket meant for Milvus."),
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="With --endpoint: prefix of all of Milvus's objects; files if left out.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --endpoint: region that requests are signed for; us-east-1 if left out.",
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --endpoint: minio, x10000, s3 or emulator; s3 if left out.",
        ),
    ] = None,
    addressing: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE",
            help="With --endpoint: how the bucket is named, path or virtual (in the host's name);"
            " path if left out.",
        ),
    ] = None,
    access_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --endpoint or --stack: environment variable with the access key;"
            " AWS_ACCESS_KEY_ID if left out.",
        ),
    ] = None,
    secret_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --endpoint or --stack: environment variable with the secret key;"
            " AWS_SECRET_ACCESS_KEY if left out.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --endpoint or --stack: certificate of a private CA, PEM."
        ),
    ] = None,
    wal: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Log that Milvus is to use: {_LOGS}. Only woodpecker-embedded asks more of"
            " the store.",
        ),
    ] = None,
    make_buckets: Annotated[
        bool,
        typer.Option(
            "--make-buckets",
            help="Allow buckets named milvus-kit-preflight-…; they are removed again.",
        ),
    ] = False,
    versioned_bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Bucket with versioning, to try conditional writes in."),
    ] = None,
    backup_bucket: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Bucket for backups, to try versions and object lock in."
        ),
    ] = None,
    other_bucket: Annotated[
        str | None, typer.Option(metavar="NAME", help="Bucket in which the key must be refused.")
    ] = None,
    bucket_creation: Annotated[
        str | None,
        typer.Option(
            metavar="WORD", help="Whether the key should make buckets: allowed or refused."
        ),
    ] = None,
    prefix_isolation: Annotated[
        bool,
        typer.Option("--prefix-isolation", help="The key must be refused outside the root path."),
    ] = False,
    outsider_access_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Environment variable with another key, which may write where the key must be"
            " refused: that takes one to prove.",
        ),
    ] = None,
    outsider_secret_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with its secret key."),
    ] = None,
    performance: Annotated[
        bool, typer.Option("--performance", help="Measure speed too: some minutes, some GiB.")
    ] = False,
    more_endpoints: Annotated[
        list[str] | None,
        typer.Option(
            "--more-endpoint",
            metavar="URL",
            help="Further endpoint of the same store, for speed. May be given again.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write the store's profile, as JSON."
        ),
    ] = Path("profile.json"),
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            help="Only remove what killed preflights left below the root path, and in the buckets"
            " named here for versions and backups.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the verdict only.")] = False,
) -> None:
    """Check whether an S3 store can carry Milvus.

    Tells which log it allows and what a stack has to set. Say which store by --target, --stack or
    --endpoint. Works only below a prefix of its own, ROOT_PATH/milvus-kit-preflight-…/, and removes
    it again.
    """
    from validation.s3.preflight import console, contract
    from validation.s3.speed.performance import Plan
    from validation.s3.workspace import Permissions

    storage, declared = contract.chosen(
        target=target,
        stack=stack,
        endpoint=endpoint,
        options=contract.Options(
            bucket=bucket,
            root_path=root_path,
            region=region,
            provider=provider,
            addressing=addressing,
            ca_file=ca_file,
            access_key_env=access_key_env,
            secret_key_env=secret_key_env,
        ),
    )
    if clean:
        console.clean(storage, [name for name in (versioned_bucket, backup_bucket) if name])
        return
    endpoints = contract.more_endpoints(storage, more_endpoints or (), performance=performance)
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
        path=output,
        wal=wanted,
        plan=Plan() if performance else None,
        endpoints=endpoints,
        quiet=quiet,
    )
    raise typer.Exit(code)
