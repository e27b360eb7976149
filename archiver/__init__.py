"""The archiver: keeps messages and positions in the database, as a projection of the log."""
