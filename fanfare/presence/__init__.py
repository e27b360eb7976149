"""Redis: who is where, and what each gateway node must deliver. The product imports redis-py nowhere else."""
