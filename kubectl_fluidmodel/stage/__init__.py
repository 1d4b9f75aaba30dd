"""Moving a model from the Hub into a bucket: streamed, resumable, proven. It prints nothing.

`engine.stage()` does the transfer and yields events, `manifest` is the mark that it is complete,
`job` builds the Kubernetes Job that runs the same code, and `follow` follows it.
"""
