"""Output for terminals and files: units, escaping, tables, trees, progress, JSON and YAML.

Start at `table.py` and `live.py`. `shell.py` builds every command that is printed for users to run.
This package reads nothing from servers.
"""
