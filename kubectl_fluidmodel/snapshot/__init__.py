"""One bulk read of a cluster, live or from a bundle, with what could not be read and why.

Start at `snapshot.py`. `collector.py` reads, `watcher.py` keeps it up to date, `archive.py` loads
and saves it, `redact.py` removes secrets.
"""
