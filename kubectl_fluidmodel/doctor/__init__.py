"""What is broken, why, and the command that fixes it: checks that judge a Snapshot."""
