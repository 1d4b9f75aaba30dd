"""The commands cache and uncache: build a cache, wait for it, verify it, remove it.

Start at `workflow.py`, which runs the steps in order; `options.py` has the options of a command
line, and `plan.py` what one run will do. `desired` (with `existing` and `node_choice`), `progress`
and `verification` make decisions and are pure; the other modules talk to the cluster and the store.
"""
