"""Kubernetes objects as dicts: kinds, paths, quantities, selectors, taints. Pure.

Start at `kinds.py` and `access.py`.
"""
