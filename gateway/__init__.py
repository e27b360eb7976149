"""The gateway: client sockets and REST on one side, Kafka and the node's own inbox on the other."""
