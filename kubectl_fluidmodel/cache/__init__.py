"""The verbs cache and uncache: build a cache, wait for it, verify it, remove it.

Start at `workflow.py`, which is the steps in order; `options.py` has what a command line asks for.
`desired`, `progress` and `verification` decide and are pure; the others talk to cluster and store.
"""
