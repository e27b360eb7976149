"""One module per step; the SQL stands beside it."""
