"""The ways a graph has been written over the years, one module each."""
