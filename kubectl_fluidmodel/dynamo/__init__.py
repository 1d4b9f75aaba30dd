"""Dynamo graphs as they exist: finding them, changing what must change, following the roll-out."""
