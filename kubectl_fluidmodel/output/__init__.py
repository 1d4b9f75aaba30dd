"""What a terminal and a file get: units, escaping, tables, trees, progress, JSON and YAML.

Start at `table.py` and `live.py`. `shell.py` builds every command that is printed for pasting.
It fetches nothing.
"""
