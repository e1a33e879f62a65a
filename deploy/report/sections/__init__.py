"""The sections of the page, one a file.

In: a report. Out: a piece of HTML.
"""
