"""Whether code that numba compiles is kept on disk; it is imported only where numba is installed."""

from numba import njit


def can_cache() -> bool:
    """False where numba finds no folder to keep compiled code in: then each process compiles."""
    try:
        njit(cache=True)(can_cache)
    except RuntimeError:
        return False
    return True
