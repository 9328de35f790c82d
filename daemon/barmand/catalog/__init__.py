"""What we remember: rows and transactions. The door of SQLAlchemy and Alembic."""
