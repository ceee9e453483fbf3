"""SQLAlchemy tables, repositories and sealing."""
