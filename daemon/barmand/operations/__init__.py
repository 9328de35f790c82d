"""What we do: one verb, one file, one story."""
