"""The statuses of users, and who is in which voice channel."""
