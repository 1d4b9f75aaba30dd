"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no bug: examples are bounded by number, not by the clock.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
