"""Caches with everything that belongs to them, assembled from a Snapshot. Pure.

Start at `cache.py`: a Cache has its Dataset, runtime, loads, pods, claims and readers.
"""
