"""Fluid's API: names and limits, builders of its objects, and reading their state. No HTTP."""
