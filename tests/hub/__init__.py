"""A stand-in for the Hugging Face Hub that speaks its protocol, with faults to switch on.

`hf download` works against it unmodified (see test_hub.py), and so does everything of ours.
"""

from tests.hub.faults import Fault
from tests.hub.repo import Blob, Repo
from tests.hub.server import FakeHub, Request

__all__ = ["Blob", "FakeHub", "Fault", "Repo", "Request"]
