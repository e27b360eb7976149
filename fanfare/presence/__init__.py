"""Redis: who is where, and what each gateway node must deliver."""
