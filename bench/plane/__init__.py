"""What the benches on real nodes share: `bench.writeup` and `bench.settings`.

`program.py` checks the machine and frames a run, `nodes.py` has the nodes and what runs on them,
`model.py` writes the model, and `loader.py` runs in pods.
"""
