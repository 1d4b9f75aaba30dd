"""Dynamo's two kinds as an API server serves them: CRDs of the harness's own.

No registry has the operator's CRDs, so these are written here, from what its types are: names,
types, list maps and their keys, defaults, rules. Start at `crds.py`; `graphs.py` has the graph,
`components.py` its parts, `pods.py` the pod template, which is the API server's own. What they are
not stands in README.md of tests/cluster, "Dynamo's CRDs".
"""
