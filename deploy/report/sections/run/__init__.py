"""Sections on what ran: where, what the network did, what the figures leave out, how to repeat it.

In: a run. Out: the facts that the template beside each file shows.
"""
