"""The verb inspect: caches as a table, a tree or a document, redrawn while they change.

Start at `run.py`; `details.py` describes one cache, and `table_view.py` and `details_view.py`
draw it.
"""
