"""What a model is, without a cluster: SOURCE, files, weights, sizes. Pure but for `sample.py`.

Start at `source.py` (SOURCE), `assessment.py` (whether an engine can load the files) and
`sizing.py` (quota, heaps, medium).
"""
