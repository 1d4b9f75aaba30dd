"""The room between a source and a proven cache: what to make, making it, waiting, proving.

`design` and `progress` and `proof` decide and are pure; `preflight`, `measure`, `make` and
`wait` talk to the cluster and the store and decide nothing.
"""
