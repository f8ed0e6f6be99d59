"""What is scraped and shown: PodMonitors and a Grafana dashboard. Logs go to standard output."""
