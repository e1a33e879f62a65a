"""The command `neuroclip`: its subcommands, and what each of them does.

In: arguments. Out: an exit status.
"""
