"""The verb doctor: what is broken, why, and the command that fixes it.

Start at `run.py` (the workflow), `check.py` (what a check is) and `checks/`.
`collect/` and `mount_probe/` read; checks evaluate a Snapshot; `diagnosis.py` finds root causes.
"""
