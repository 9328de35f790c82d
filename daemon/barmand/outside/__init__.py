"""What we do not own: PostgreSQL, its programs, other processes, the clock."""
