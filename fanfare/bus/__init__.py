"""Kafka. The only place that imports aiokafka, which is untyped: all goes through these typed modules."""
