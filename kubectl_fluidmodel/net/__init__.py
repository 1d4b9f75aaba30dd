"""Connections: proxies, TLS, tunnels, retries, and what a failed connection means.

Start at `connection_errors.py`, whose words every verb uses; `proxies.py` and `tls.py` follow Go.
"""
