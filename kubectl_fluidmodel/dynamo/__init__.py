"""Dynamo's API: graphs, their components, and how to change and undo a change. Pure.

Start at `graph.py` and `component.py`. `shapes/` has one module per shape of
DynamoGraphDeployment; `affinity.py` is the algebra of node affinity; `yaml/` edits manifests.
"""
