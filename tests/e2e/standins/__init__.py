"""Stand-ins for the two Pulumi plugins that only Pulumi's own download site serves.

They are used where the published plugins are not on PATH, and the run's output names them. They
speak the engine's real protocol to the real engine and the real API server; nothing is faked
between. What the published plugins can do and these cannot, they refuse by name.
"""
