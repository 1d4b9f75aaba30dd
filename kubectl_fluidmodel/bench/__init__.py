"""`bench`: measures how fast a cache reads on its own nodes, and recommends a loader.

Start at `run.py`. `reader.py` runs in the cluster, in the pod of the Job that `job.py` builds.
"""
