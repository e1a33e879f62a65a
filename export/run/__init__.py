"""A run: lower, execute, compare, map, count, report.

In: a deployment and options. Out: a report and its files.
"""
