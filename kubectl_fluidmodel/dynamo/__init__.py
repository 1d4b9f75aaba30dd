"""Dynamo's API: kinds, the shapes of a graph, affinity, commands, roll-outs, YAML edits.

Start at `graph.py` and `component.py`. `shapes/` has one module per shape of DynamoGraphDeployment,
`affinity.py` the rules of node affinity, `yaml/` edits manifests, `pin_annotation.py` is what `pin`
records. Pure.
"""
