"""Edits of YAML manifests that keep every other byte."""
