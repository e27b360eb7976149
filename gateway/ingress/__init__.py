"""Accepting messages from clients, over REST and over the socket, and reading them back."""
