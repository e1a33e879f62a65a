"""Measured proportions with their intervals, and plots of them.

In: counts and series. Out: intervals, SVG files.
"""
