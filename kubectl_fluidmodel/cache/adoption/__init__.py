"""Adopts a cache that somebody made by hand: `cache --adopt`.

Writes labels and annotations, never a spec. Start at `workflow.py`. `differences.py`, which is
pure, compares a hand-made cache with one of `cache`; its rules are in `dataset_rules.py` and
`runtime_rules.py`.
"""
