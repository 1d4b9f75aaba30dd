"""Take over a cache that somebody made by hand: `cache --adopt`.

It writes labels and annotations, never a spec. Start at `workflow.py`; what a hand-made cache has
differently from one of `cache` is decided in `differences.py`, which is pure.
"""
