"""The command line: flags, one module per verb, exit codes, and what is printed."""
