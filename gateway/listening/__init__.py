"""The public ports: which clients are let in before they have identified."""
