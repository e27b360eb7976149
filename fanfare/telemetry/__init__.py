"""Logs, metrics, and the internal HTTP server that shows them."""
