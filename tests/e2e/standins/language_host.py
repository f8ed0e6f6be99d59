"""Stand-in for ``pulumi-language-python``: runs a Python program for the Pulumi engine.

The engine starts it as ``pulumi-language-python ENGINE_ADDRESS`` and reads the port from stdout.
The program itself is run by the SDK's own ``pulumi-language-python-exec``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from tests.e2e.standins.lifetime import until_ended

_ALREADY_REPORTED = 32
"""Exit status of the exec script when it has shown the error to the user itself."""
_MESSAGE_BYTES = 400 * 1024 * 1024


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers what the engine asks for a program in Python."""

    def __init__(self, engine: str, executor: str) -> None:
        self.engine = engine
        self.executor = executor

    def Handshake(self, request, context):  # noqa: N802, ARG002
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):  # noqa: N802, ARG002
        return plugin_pb2.PluginInfo(version=version("pulumi"))

    def About(self, request, context):  # noqa: N802, ARG002
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetRequiredPackages(self, request, context):  # noqa: N802, ARG002
        # Naming a package here would send the engine to the network for its plugin.
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request, context):  # noqa: N802, ARG002
        return language_pb2.GetRequiredPluginsResponse()

    def GetProgramDependencies(self, request, context):  # noqa: N802, ARG002
        return language_pb2.GetProgramDependenciesResponse()

    def InstallDependencies(self, request, context):  # noqa: N802, ARG002
        return iter(())

    def Cancel(self, request, context):  # noqa: N802, ARG002
        return empty_pb2.Empty()

    def Run(self, request, context):  # noqa: N802, ARG002
        options = {
            "monitor": request.monitor_address,
            "engine": self.engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "pwd": request.info.program_directory or request.pwd,
            "dry_run": str(request.dryRun).lower(),
            "parallel": str(request.parallel),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        program = request.info.entry_point or request.program
        done = subprocess.run(
            [sys.executable, "-u", self.executor, *arguments, program],
            env=environment,
            check=False,
        )
        if done.returncode == _ALREADY_REPORTED:
            return language_pb2.RunResponse(bail=True)
        error = f"the program ended with status {done.returncode}" if done.returncode else ""
        return language_pb2.RunResponse(error=error)


def main() -> None:
    """Serve until the engine ends us, which it does with SIGINT."""
    executor = shutil.which("pulumi-language-python-exec")
    if executor is None:
        sys.exit("pulumi-language-python-exec of the Pulumi SDK is not on PATH")
    server = grpc.server(
        ThreadPoolExecutor(), options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
        LanguageHost(sys.argv[-1], executor), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201  (the engine reads it)
    until_ended()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
