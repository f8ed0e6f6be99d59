"""Threads of our own around matrix products that each use one core.

A BLAS library splits one product over all cores, and whatever numpy does between two products then
runs on a single one. Splitting the work ourselves keeps every core busy, if BLAS is told to leave
the splitting to us. The wheels of numpy carry OpenBLAS, which can be told through its C interface;
with another BLAS there is one thread of ours and the library does as it likes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from validation.common.host import cores

_lock = threading.Lock()


@contextlib.contextmanager
def pool() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of as many threads as can be kept busy, each with a core of its own.

    Only one such pool is open at a time, since the setting it makes is one for the whole process.
    """
    openblas = _openblas()
    with _lock, ThreadPoolExecutor(cores() if openblas else 1) as threads:
        if openblas is None:
            yield threads
            return
        read, write = openblas
        before = read()
        write(1)
        try:
            yield threads
        finally:
            write(before)


@functools.cache
def _openblas() -> tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer] | None:
    """Return OpenBLAS's functions that read and set its number of threads; None if it is not it."""
    try:
        # Numpy's own module, which may move; symbols are looked up in what it is linked with, too.
        module = importlib.import_module("numpy._core._multiarray_umath")
        library = ctypes.CDLL(str(module.__file__))
    except (ImportError, OSError):
        return None
    for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads"):
        with contextlib.suppress(AttributeError):
            read, write = (getattr(library, name.format(verb)) for verb in ("get", "set"))
            read.restype, read.argtypes = ctypes.c_int, ()
            write.restype, write.argtypes = None, (ctypes.c_int,)
            return read, write
    return None
