"""The verbs pin and unpin: run a graph's workers on the nodes that hold the model.

Start at `workflow.py`, which has every step. `pinning.py` is a pure function from a graph to a
changed graph, `affinity.py` decides where it runs; `preflight/` finds what stands in the way,
`graph_patch.py` patches the cluster, `manifest_files.py` edits files, `wait.py` follows a roll-out.
"""
