"""How sessions begin, go on, and are mended after their inbox was lost."""
