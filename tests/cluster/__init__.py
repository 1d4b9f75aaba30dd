"""A real Kubernetes control plane with Fluid's own controllers, for tests, demo and play.

``python -m tests.cluster up`` starts it, ``fixtures.py`` hands it to pytest, and ``README.md``
beside this file says what is real in it and what is played.
"""
