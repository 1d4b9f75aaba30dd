"""Detects files whose content does not match their name, by their first bytes. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.model.hub_cache import is_stored_link

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_POINTER_BYTES = 1024
"""Maximum size of a Git LFS pointer, by its specification."""


def identify_wrong_content(head: bytes) -> str:
    """Return a description such as `an HTML page`; empty if the first bytes are inconclusive.

    These are results of failed downloads: a login page, an error of a store, a clone without Git
    LFS, or a link that was stored as text.
    """
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_LFS_POINTER):
        return "a Git LFS pointer, not the file itself"
    if start[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<Error>")):
        return "an XML document, probably an error of a store"
    if is_stored_link(start):
        return "a link into the Hub's cache, stored as text"
    if start and not start.strip(b"\0"):
        return "zeros"
    return ""
