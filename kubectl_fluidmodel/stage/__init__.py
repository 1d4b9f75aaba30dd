"""The command stage: copies a model from the Hub to a bucket, streamed, resumable, verified.

Start at `engine.py`: `stage_plan()` transfers and yields events. `manifest.py` marks a complete
copy; `job.py` builds the Kubernetes Job that runs the same code, `job_control.py` starts it, and
`job_run.py` waits for it.
"""
