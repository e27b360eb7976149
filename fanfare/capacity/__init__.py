"""How many processes, how much memory and bandwidth a load needs, from measured unit costs."""
