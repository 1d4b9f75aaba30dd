"""Which settings of a cache are fast, measured on a real node: `python -m bench.settings`.

Start at `__main__.py`. `variants.py` has what is compared, `figures.py` the tables; both are pure.
"""
