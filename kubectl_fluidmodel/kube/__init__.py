"""The client of the API server. It knows Kubernetes, and neither Fluid nor Dynamo.

Start at `client.py`, which opens with a table of its differences from kubectl. `config.py` is
where connections come from, `watch.py` how objects are kept up to date.
"""
