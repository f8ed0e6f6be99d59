"""Settings that all tests share."""

import os
import signal

from hypothesis import HealthCheck, settings

# gRPC reads it when it is first imported, which any test file may do before the kit does.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A shell starts what runs in the background with Ctrl-C ignored, and so would what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester"]

# A test does not fail because the machine is busy: no deadline, no complaint about slow drawing.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")
