"""Caches as a person sees them: the objects of a Snapshot put together, and what they tell."""
