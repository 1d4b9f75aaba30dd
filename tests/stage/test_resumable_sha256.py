"""States of SHA-256 that are taken out and put back."""

from __future__ import annotations

import ctypes
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage import resumable_sha256
from kubectl_fluidmodel.stage.file_hasher import FileHasher


def test_libcrypto_is_available_where_tests_run() -> None:
    assert resumable_sha256.is_available()


@given(st.binary(max_size=3000), st.integers(0, 40))
def test_hashing_resumes_from_an_exported_state(data: bytes, blocks: int) -> None:
    cut = min(
        blocks * resumable_sha256.BLOCK,
        len(data) // resumable_sha256.BLOCK * resumable_sha256.BLOCK,
    )
    first = resumable_sha256.Sha256()
    first.update(bytearray(data[:cut]))
    again = resumable_sha256.Sha256(first.export_state(), cut)
    again.update(data[cut:])
    assert again.hexdigest() == hashlib.sha256(data).hexdigest()


def test_bit_counts_beyond_32_bits_are_restored() -> None:
    """The count of bits needs both of its words; compared with a state at such a count."""
    state = resumable_sha256.Sha256()
    state.update(bytes(64))
    far = 1 << 33
    one, other = (
        resumable_sha256.Sha256(state.export_state(), far),
        resumable_sha256.Sha256(state.export_state(), 64),
    )
    assert one.hexdigest() != other.hexdigest()
    assert resumable_sha256.Sha256(one.export_state(), far).hexdigest() == one.hexdigest()


def test_a_state_with_pending_bytes_is_not_exported() -> None:
    running = resumable_sha256.Sha256()
    running.update(b"abc")
    with pytest.raises(ValueError, match="pending"):
        running.export_state()
    with pytest.raises(ValueError, match="blocks"):
        resumable_sha256.Sha256(bytes(32), 3)


def test_a_library_with_another_layout_is_not_used() -> None:
    class Odd:
        """As if the count came first."""

        def SHA256_Init(self, context: ctypes.Array[ctypes.c_char]) -> None:
            ctypes.memset(context, 0, 112)

        def SHA256_Update(self, context: ctypes.Array[ctypes.c_char], *_: object) -> None:
            context[0] = b"\x01"

        def SHA256_Final(self, out: ctypes.Array[ctypes.c_char], *_: object) -> None:
            ctypes.memset(out, 7, 32)

    assert not resumable_sha256._is_compatible(Odd())


@pytest.mark.parametrize("bare", [False, True])
def test_digests_of_both_kinds(bare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if bare:
        monkeypatch.setattr(resumable_sha256, "_library", None)
        monkeypatch.setattr(resumable_sha256, "_tried", True)
    data = b"some text\n" * 20
    sha = PlanFile("a", len(data), "sha256", hashlib.sha256(data).hexdigest())
    git = PlanFile("a", len(data), "git", hashlib.sha1(b"blob 200\0" + data).hexdigest())
    for file in (sha, git):
        right, wrong = FileHasher(file), FileHasher(file)
        right.update(memoryview(bytearray(data)))
        wrong.update(memoryview(bytearray(data[:-1] + b"!")))
        assert right.matches() and not wrong.matches()
