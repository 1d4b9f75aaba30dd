"""The command update: moves graphs to the cache of a newer commit, and removes the old cache.

Start at `workflow.py`, which runs the steps. They are those of `stage`, `cache`, `pin` and
`uncache`; `state.py` says what is done, `plan.py` what each step does. Both are pure.
"""
