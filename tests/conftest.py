"""Settings that all tests share."""

import os

from hypothesis import HealthCheck, settings

# gRPC reads it when it is first imported, which any test file may do before the kit does.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

pytest_plugins = ["pytester"]

# A test does not fail because the machine is busy: no deadline, no complaint about slow drawing.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")
