"""The bridge: torch module ⇄ NIR ⇄ Program ⇄ Lava, and the command `neuroclip-export`.

In: models and data, in every form that a front end reads. Out: what a target writes or runs, proven.
"""
