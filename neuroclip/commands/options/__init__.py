"""Options that several subcommands have; nothing heavy is imported to read them.

In: a parser, and what it read. Out: what an action is asked for.
"""
