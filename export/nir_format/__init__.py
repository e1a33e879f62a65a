"""NIR files and graphs: reading, the normal form, writing, and the bugs of the libraries for it.

In: files. Out: graphs.
"""
