"""Connections: proxies, TLS, tunnels, retries, and explanations of failed connections.

Start at `connection_errors.py`, whose messages every command uses. `proxies.py` and `tls.py` follow
Go's rules.
"""
