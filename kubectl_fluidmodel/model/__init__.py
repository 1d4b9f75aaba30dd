"""What a model is, independent of a cluster: SOURCE, files, weights, sizes.

Pure, except `sample.py`. Start at `source.py` (SOURCE), `assessment.py` (whether an engine can load
the files) and `sizing.py` (quota, heaps, medium).
"""
