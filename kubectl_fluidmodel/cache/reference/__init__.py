"""`cache dataset://NAMESPACE/NAME`: makes the cache of another namespace readable in this one.

Start with `workflow.py`.
"""
