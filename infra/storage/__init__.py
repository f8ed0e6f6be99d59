"""Object storage: each kind yields the same storage contract."""
