"""The way of an event from the node's inbox to the sockets of its sessions."""
