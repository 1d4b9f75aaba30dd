"""Dynamo's API: kinds, the shapes of a graph, affinity, commands, roll-outs, YAML edits.

Start with `graph.open_graph` and `component.Component`; `pin_annotation` is what `pin` records.
Everything but `graph_reader` is pure.
"""
