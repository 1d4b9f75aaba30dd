"""Reading what doctor needs beyond the lists of a Snapshot: logs, Secrets' keys, pods on nodes.

Start at `collector.py`.
"""
