"""mount_probe."""
