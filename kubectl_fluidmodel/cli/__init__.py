"""The command line: flags, completion and exit codes, with one module per command.

Start at `main.py`. A command's module parses the flags, calls the command's package and prints the
result. It contains no workflow and does no I/O of its own.
"""
