"""What a file really is whose name says otherwise, by its first bytes. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.model.hub_cache import is_stored_link

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_POINTER_BYTES = 1024
"""A pointer of Git LFS is smaller than this, by its specification."""


def identify_wrong_content(head: bytes) -> str:
    """`a page of HTML` and its like; empty where the first bytes say nothing.

    These are what a download leaves that was answered by something else than the file: a login
    page, an error of a store, a clone without Git LFS, a link that was stored as a text.
    """
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_LFS_POINTER):
        return "a pointer of Git LFS, and not the file that it points to"
    if start[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "a page of HTML"
    if start.startswith((b"<?xml", b"<Error>")):
        return "a document of XML, as stores answer with errors"
    if is_stored_link(start):
        return "a link into the Hub's cache, stored as a text"
    if start and not start.strip(b"\0"):
        return "zeros"
    return ""
