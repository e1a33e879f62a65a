"""The command `neuroclip-export`.

In: arguments. Out: an exit status.
"""
