"""Object storage: each kind yields the same storage contract. `infra.storage.store` chooses."""
