"""One bulk read of everything that inspect and doctor look at, live or from a file."""
