"""How a store is spoken to: its endpoint and keys, boto3, and requests signed by hand."""
