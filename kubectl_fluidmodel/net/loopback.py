"""Detects addresses that mean another machine when a pod uses them. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback_url(url: str) -> bool:
    """Return whether a URL's host is the local machine: `localhost`, 127.0.0.0/8, ::1 or 0.0.0.0.

    A pod that gets such a URL connects to itself or its own node, not to this machine. A URL
    without a scheme is read as a host.
    """
    try:
        host = (urlsplit(url if "://" in url else f"//{url}").hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or address.is_unspecified
