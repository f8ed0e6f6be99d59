"""HTTP/2 for the timed path: unary gRPC calls whose bytes were prepared beforehand.

gRPC's Python layers cost more than the search they carry (`benchmarks/load.py` prints how much), so
that under load they would be measured with the server. This speaks the part of RFC 9113 that a
client of unary calls needs, and refuses the rest by name. Everything that is not timed stays with
pymilvus and its stubs.
"""
