"""The parts that `fanfare up` brings along and watches: Apache Kafka, Valkey, PostgreSQL and our services.

The product imports this package in `fanfare.cli` alone; the services know only addresses.
"""
