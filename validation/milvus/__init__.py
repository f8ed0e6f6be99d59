"""Milvus as a client sees it: connect, load, prove what is stored, search.

Nothing here judges. Every function measures or changes something and says what came out.
"""

import os

# The C library under grpcio prints handshake failures to stderr itself; they are in our errors.
# It reads this once, when it is loaded, so it has to be said before any module here imports it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
