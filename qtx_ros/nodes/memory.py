"""Memory that the C library keeps after a busy moment, given back."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return freed memory to the system: after a stall glibc would keep as much as ever waited. Elsewhere: nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
