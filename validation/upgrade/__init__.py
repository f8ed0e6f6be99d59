"""Whether anything was lost or got worse over an upgrade: manifests, baselines, comparisons."""
