"""The Kubernetes cluster: each provider yields the same cluster contract."""
