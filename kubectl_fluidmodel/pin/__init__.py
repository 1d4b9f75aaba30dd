"""The verbs pin and unpin: bind graphs to a cache's nodes and mount its claim.

Start at `pinning.py`, a pure function from a graph to a changed graph. `preflight/` judges
whether its workers would start; `graph_patch.py` changes the cluster, `manifest_files.py` files.
"""
