"""Accepting messages from clients, over REST and over the socket, and reading them back."""

from gateway.ingress.flights import Sent
from gateway.ingress.ingress import Ingress

__all__ = ["Ingress", "Sent"]
