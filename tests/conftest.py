"""Settings that all tests share."""

import os
import signal

from hypothesis import HealthCheck, settings

# gRPC reads it when it is first imported, which any test file may do before the kit does.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A shell starts what runs in the background with Ctrl-C ignored, and nohup with SIGHUP; what tests
# start would inherit that. A handler is not inherited, and does as much for this process; that its
# workers are to have one as well, they are told.
_IGNORED = "MILVUS_KIT_TESTS_IGNORE"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    _told = os.environ.get(_IGNORED, "").split()
    if signal.getsignal(_number) is signal.SIG_IGN or _number.name in _told:
        os.environ[_IGNORED] = " ".join({*_told, _number.name})
        signal.signal(_number, lambda *_: None)

pytest_plugins = ["pytester"]

# A test does not fail because the machine is busy: no deadline, no complaint about slow drawing.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")
