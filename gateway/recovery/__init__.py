"""A session's history over several inboxes: its path, the fences that cut it, what a repair decides."""
