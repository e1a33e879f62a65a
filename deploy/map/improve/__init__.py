"""Fewer packets by moving neurons between parts: our own search, and Mt-KaHyPar's.

In: parts. Out: better parts, every one of which still fits a core.
"""
