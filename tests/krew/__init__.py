"""What is shipped: the bundle, its archive, the manifest, and the real krew installing it."""
