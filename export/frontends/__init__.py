"""Front ends: every way in which a model and its data become a `Deployment`.

In: paths and modules. Out: a deployment.
"""
