"""What a model is, with no cluster: its source, files, bytes and the room it needs."""
