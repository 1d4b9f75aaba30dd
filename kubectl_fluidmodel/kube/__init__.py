"""The client of the API server. It has no knowledge of Fluid or Dynamo.

Start at `client.py`, which begins with a table of its differences from kubectl. `config.py`
resolves connections; `watch.py` keeps objects up to date.
"""
