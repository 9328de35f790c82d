"""What the administrator wrote."""
