"""The command `neuroclip`: a file for each subcommand, with its options, its help and how it runs.

In: arguments. Out: an exit status.
"""
