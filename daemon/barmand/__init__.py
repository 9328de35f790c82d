"""barmand: the backup daemon for PostgreSQL."""

__version__ = "0.1.0"
