"""The verb inspect: caches as a table, a tree or a document, redrawn while they change.

Start at `run.py`. `view.py` chooses the module that shows what was asked for: each `…_view.py` is
one. `summary.py` is what a row of the table has, `details.py` all that is known of a cache.
"""
