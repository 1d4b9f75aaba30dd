"""The command inspect: caches as a table, a tree or a document, updated while they change.

Start at `run.py`. `view.py` selects the module for the requested view, one of the `…_view.py`.
`summary.py` has the data of a table row, `details.py` all data about a cache. `details_view.py`
shows the latter, on a `details_page.py` with the tables of `details_tables.py`.
"""
