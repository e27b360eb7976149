"""Kafka. The product imports aiokafka, which is untyped, nowhere else: all goes through these typed modules."""
