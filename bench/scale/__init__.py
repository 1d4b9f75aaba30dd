"""Whether `inspect -A` and `doctor -A` keep up with kubectl in a large cluster.

Start at `__main__.py`; `fleet.py` fills the cluster, and `measurement.py` measures.
"""
