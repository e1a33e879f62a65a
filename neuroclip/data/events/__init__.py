"""Event recordings: files, data sets, the camera that simulates them, and frames of them.

In: paths and names. Out: events, and frames of counts.
"""
