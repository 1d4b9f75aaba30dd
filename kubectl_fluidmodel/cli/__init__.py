"""The command line: flags, completion, exit codes, one module per verb.

Start at `main.py`. A verb's module parses, calls the verb's package and prints the result.
It has no order of steps and no I/O of its own.
"""
