"""Load: requests prepared beforehand, sent one after the other or at a fixed rate.

Preparing beforehand keeps the client cheap, and a client that is not cheap enough says so itself:
its measurement is void, never a slow server.
"""

import validation.milvus as _milvus  # noqa: F401  (its head quietens grpcio before it is loaded)
