"""What lies on our disk: paths, fsync, rename."""
