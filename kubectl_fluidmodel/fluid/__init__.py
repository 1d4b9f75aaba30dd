"""Fluid's API: names and limits, builders of its objects, parsers of their status. Pure.

Start at `names.py`. `mount.py` has one builder per kind of source; `dataset.py`,
`alluxio_runtime.py` and `dataload.py` build the objects; `placement.py` selects the nodes.
"""
