"""What the learning subcommands do once their options are read; all that needs torch is here.

In: options. Out: checkpoints, tables and printed results.
"""
