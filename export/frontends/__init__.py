"""Front ends: every way in which a model and its data become a `Deployment` (`frontend`, `table`).

In: paths, arrays and modules. Out: a deployment.
"""
