"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# A test does not fail because the machine is busy: no deadline, no complaint about slow drawing.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")
