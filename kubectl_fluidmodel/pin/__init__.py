"""The commands pin and unpin: run a graph's workers on the nodes that hold the model.

Start at `workflow.py`, which has every step. `pinning.py` is a pure function from a graph to a
changed graph; it changes components with `component_pin.py`, and `affinity.py` decides where their
pods run. `preflight/` finds obstacles, `graph_patch.py` patches the cluster, `manifest_files.py`
edits files, and `wait.py` waits for the roll-out.
"""
