"""`Deployment`: a model and its data, whatever they came from, ready to be lowered and run.

In: what a front end read. Out: a program to run and what to run it on.
"""
