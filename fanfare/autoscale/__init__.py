"""How many workers a consumer group needs, decided from its lag and its rates, and doing so on a running system."""
