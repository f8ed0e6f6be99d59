"""What every room uses: files, caches, progress, names, strict YAML, this host."""
