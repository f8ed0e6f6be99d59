"""Who gets in, from where and how: TLS, addresses, keys, the bucket and its protection."""
