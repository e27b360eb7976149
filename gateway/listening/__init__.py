"""The public ports: who is let in before it has said who it is."""
