"""`prune`: what is left over in buckets and namespaces, and was made by this plugin.

Start at `run.py`. What is a leftover is decided in `cluster.py` and `revisions.py`, which are pure;
`bucket_reader.py` and `cluster_reader.py` read, and `removal.py` removes.
"""
