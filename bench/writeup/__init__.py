"""The write-up's table of start-up times, measured on real nodes: `python -m bench.writeup`.

Start at `__main__.py`.
"""
