"""`bench`: how fast a cache reads on its own nodes, and which way of loading that calls for.

Start at `run.py`. `reader.py` runs in the cluster, in the pod of the Job that `job.py` builds.
"""
