"""One file on its way: parts come in any order, go up at once, and are hashed in order.

The upload is completed only when all parts are stored and the hash of the whole is the one that
the Hub's tree names. Until then there is no object, and a record tells another run where to go
on. Two runs at the same file do no harm: the bytes are the same, so the parts are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.file_reader import Origin
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import Place
from kubectl_fluidmodel.stage import checkpoint, parts, resumable_sha256
from kubectl_fluidmodel.stage.bucket import Bucket, Found, Gone, Hidden
from kubectl_fluidmodel.stage.checkpoint import Part, Record
from kubectl_fluidmodel.stage.errors import mismatch
from kubectl_fluidmodel.stage.file_hasher import Crc32, Digest

_RECORDS = 200
"""Records written per file at the most: what a crash costs is half a percent of the file, and
the parts in flight."""
_JOINED = 50e6
"""Bytes per second at which a store puts parts together, at the least: some copy them."""


class StartOver(Exception):
    """What an earlier run left does not do, or the upload is gone: the file begins anew."""


@dataclass
class Transfer:
    """A file that goes up in parts."""

    file: PlanFile
    place: Place
    bucket: Bucket
    origin: Origin
    part_size: int
    release: Callable[[bytearray], None]
    on_sent: Callable[[int], None]
    say: Callable[[str], None]
    """Takes what is worth a line."""
    most_part: int = parts.MOST_PART
    """Bytes of the largest part that there is memory for."""
    resumed: bool = False
    found: int = 0
    """Bytes that the store held already."""
    pending: deque[int] = field(default_factory=deque)
    etag: str = ""

    def __post_init__(self) -> None:
        self.key = self.place.key(self.file.path)
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._record: Record | None = None
        self._stands: Found | None = None
        self._dead = self._ended = self._forgotten = False
        self._noted = 0.0
        self._digest = Digest(self.file)
        self._hashed = 0
        self._hashing = False
        self._arrived: dict[int, bytearray] = {}
        self._states: dict[int, bytes] = {}
        self._up: dict[int, Part] = {}
        self._frontier = 0

    # -- before ------------------------------------------------------------------------------

    def prepare(self, left: Record | None) -> None:
        """Go on from what an earlier run left, or begin an upload."""
        if left is not None and not self._take_up(left):
            self._drop(left)
            left = None
        if left is None:
            self._begin()

    def _begin(self) -> None:
        upload, checksum = self.bucket.begin(self.key, self.file, self.place.commit)
        made = Record(
            self.file.path, self.file.identity, self.file.size, upload, self.part_size, checksum
        )
        # Before the first part: an upload of ours that nobody knows of holds nothing.
        self._write(made)
        self._await(0)

    def _take_up(self, left: Record) -> bool:
        """Go on from a record; False where the store does not hold what it says."""
        if not left.fits(self.file):
            return False
        if left.part_size > self.most_part and not left.proven:
            self._over("it was begun with parts that --memory has no room for")
            return False
        try:
            held = self.bucket.parts(self.key, left.upload_id)
        except Gone:
            return left.proven and self._joined_meanwhile(left)
        except Hidden as err:
            self._over(f"the store does not tell which parts it has of it ({err})")
            return False
        if not left.trusts(held):
            return False
        self.part_size = left.part_size
        self._write(left)  # from now on somebody is at it again
        done = left.done
        self._up = {number: held[number] for number in range(done)}
        self._frontier = done
        self.found = sum(part.size for part in self._up.values())
        self.resumed = done > 0
        if left.proven:
            self._hashed = done
        elif (
            done
            and len(left.state) == resumable_sha256.STATE_BYTES
            and resumable_sha256.available()
        ):
            self._digest = Digest(self.file, left.state, done * self.part_size)
            self._hashed = done
            self._states[done] = left.state
        # Where the hash cannot go on from its state, the file is read again from its beginning,
        # and only what the store does not have goes up.
        self._await(self._hashed)
        return True

    def _await(self, first: int) -> None:
        """All parts from this one on are to be read."""
        self.pending.extend(range(first, self.count))
        self.origin.expect(number * self.part_size for number in self.pending)

    def _over(self, why: str) -> None:
        self.say(f"{self.file.path} starts over: {why}")

    def _drop(self, left: Record) -> None:
        """Abort an upload."""
        if not self.bucket.abort(self.key, left.upload_id):
            self.say(
                f"what was uploaded of {self.file.path} stays in the store: the credentials may "
                "not abort an upload; a lifecycle rule of the bucket drops it"
            )

    def _joined_meanwhile(self, left: Record) -> bool:
        """Wait for the object: a run may be killed while the store puts the file together."""
        found = self._appeared()
        if found is None or not found.holds(self.file):
            return False
        self._record, self._stands, self.resumed = left, found, True
        self.found = self.file.size
        return True

    def nothing_left(self) -> bool:
        """Whether all parts are stored and hashed already; True once."""
        with self._lock:
            all_there = self._hashed == self.count == len(self._up)
            self._ended = self._stands is not None or all_there
            return self._ended

    # -- a part ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Parts of the file."""
        return parts.count(self.file.size, self.part_size)

    def bytes_of(self, number: int) -> int:
        """Bytes of a part."""
        start, end = parts.span(number, self.file.size, self.part_size)
        return end - start

    def carry(self, number: int, buffer: bytearray) -> bool:
        """Bring a part in, send it up and hash it in its turn; True when it was the last.

        It is sent first: who hashes goes on with what others have brought, and its own part,
        were it still to be sent, would hold up how far the record can say that the file is.

        Raises:
            StartOver: the upload is gone.
            FluidModelError: it cannot be done.
        """
        here = self._standing()
        with self._lock:
            known = number in self._up
        crc = Crc32() if here.checksum == checkpoint.CRC32 and not known else None
        try:
            self.origin.read(number * self.part_size, memoryview(buffer), crc.add if crc else None)
            if not known:
                self._send(here, number, buffer, crc.text() if crc else "")
        except BaseException:
            self.release(buffer)
            raise
        self._hash(number, buffer)
        self._note_down()
        with self._lock:
            if self._ended or not self._hashed == self.count == len(self._up):
                return False
            self._ended = True
            return True

    def _send(self, here: Record, number: int, buffer: bytearray, crc: str) -> None:
        try:
            part = self.bucket.part(self.key, here.upload_id, number, buffer, crc)
        except Gone as err:
            raise StartOver from err
        with self._lock:
            self._up[number] = part
            while self._frontier in self._up:
                self._frontier += 1
        self.on_sent(part.size)

    def _hash(self, number: int, buffer: bytearray) -> None:
        """Hash this part, and those behind it that wait; or leave it for who hashes now."""
        with self._lock:
            dead = self._dead
            if not dead:
                self._arrived[number] = buffer
                if self._hashing:
                    return
                self._hashing = True
        if dead:
            self.release(buffer)
            return
        while True:
            with self._lock:
                buffer_now = self._arrived.pop(self._hashed, None)
                if buffer_now is None:
                    self._hashing = False
                    return
            self._digest.update(memoryview(buffer_now))
            with self._lock:
                self._hashed += 1
                self._states[self._hashed] = self._digest.state()
            self.release(buffer_now)

    def die(self) -> bool:
        """Give up: no part is begun any more, and what waits is let go. False if it was dead."""
        self.origin.kill()
        with self._lock:
            if self._dead:
                return False
            self._dead = True
            self.pending.clear()
            left = list(self._arrived.values())
            self._arrived.clear()
        for buffer in left:
            self.release(buffer)
        return True

    def _note_down(self) -> None:
        """Write the record when it is far enough ahead of the last one."""
        if self._record is None or not self._recording.acquire(blocking=False):
            return
        try:
            if self._forgotten:
                return
            with self._lock:
                done = min(self._frontier, self._hashed)
                if (done - self._record.done) * _RECORDS < self.count or done == self.count:
                    return
                now = self._record.at(done, self._up, self._states.get(done, b""))
                for old in [each for each in self._states if each < done]:
                    del self._states[old]
            self._write(now)
        finally:
            self._recording.release()

    def touch(self) -> None:
        """Write the record again, so that others see that the upload is alive."""
        if not self._recording.acquire(blocking=False):
            return  # somebody writes it now
        try:
            over = self._dead or self._forgotten or self._record is None
            if not over and time.monotonic() - self._noted >= checkpoint.BEAT / 2:
                self._write(self._standing())
        finally:
            self._recording.release()

    def _write(self, now: Record) -> None:
        """Note down where the file stands."""
        self.bucket.write(self.place.record(self.file.path), now.dump())
        self._record, self._noted = now, time.monotonic()

    def _forget(self) -> None:
        """Drop the record, and let nobody write it again."""
        with self._recording:
            self._forgotten = True
            self.bucket.delete(self.place.record(self.file.path))

    # -- after -------------------------------------------------------------------------------

    def finish(self) -> None:
        """Prove the file and make the object.

        Raises:
            StartOver: it went on from an earlier run and does not match: that run may be why.
            Mismatch: what came from the Hub is not the file that its tree names.
        """
        self.origin.close()
        stands = self._stands or self._join()
        if stands is None or stands.size != self.file.size:
            raise StartOver
        if stands.identity != self.file.identity:
            raise FluidModelError(
                f"the store does not keep what is said of s3://{self.bucket.name}/{self.key}",
                "its metadata is not what the upload was begun with",
                "a store that keeps x-amz-meta-* headers",
            )
        self.etag = stands.etag
        self._forget()

    def _join(self) -> Found | None:
        """Have the store make the object of its parts, once their hash was compared."""
        here = self._standing()
        if not here.proven:
            if not self._digest.matches():
                if self.resumed:
                    raise StartOver
                self.discard()
                raise mismatch(self.file)
            with self._recording:  # behind a worker that still writes how far it was
                self._write(here.whole(self._up))
        try:
            self.bucket.complete(self.key, here.upload_id, dict(self._up), self._joins)
        except Gone:  # an answer was lost, or another run was first
            return self._appeared()
        found = self._appeared()
        if found is None and self.bucket.unseen is not None:
            raise self.bucket.unseen
        return found

    def _appeared(self) -> Found | None:
        return self.bucket.appears(self.key, self.file, self._joins)

    @property
    def _joins(self) -> float:
        """Seconds that the store may take to put the file together."""
        return 2.0 + self.file.size / _JOINED

    def _standing(self) -> Record:
        if self._record is None:
            raise RuntimeError("the file was not prepared")
        return self._record

    def discard(self) -> None:
        """Abort the upload, and forget it."""
        if self._record is not None:
            self._drop(self._record)
            self._forget()


def load(bucket: Bucket, place: Place, path: str) -> Record | None:
    """The record that an earlier run left of a file."""
    text = bucket.read(place.record(path), hidden=True)
    return checkpoint.load(text) if text is not None else None
