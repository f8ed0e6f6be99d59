"""The suite: the pytest plugin, its fixtures, and `checks`, one module a claim family."""
