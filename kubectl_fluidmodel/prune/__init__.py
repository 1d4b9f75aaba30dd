"""`prune`: removes unused objects in buckets and namespaces that this plugin created.

Start at `run.py`. `cluster.py` and `revisions.py`, which are pure, decide what is a leftover;
`bucket_reader.py` and `cluster_reader.py` read, and `removal.py` removes.
"""
