"""Probing mounts against their stores: all of doctor's I/O with S3 and HTTP servers.

Start at `runner.py`. `target.py` reads a Dataset's mount, `s3.py` and `http.py` probe it from here,
`job.py` from a pod. Results are in `snapshot/probe_result.py`.
"""
