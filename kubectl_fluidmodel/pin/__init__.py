"""`pin` and `unpin`: run a graph's workers on the nodes that hold the model.

Start with `workflow.run_pin`. `pinning` decides what changes in a graph (mount, affinity, model
path, probes), `preflight` what stands in the way, `wait` follows the roll-out.
"""
