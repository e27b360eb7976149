"""The parts that `fanfare up` brings along and watches: Apache Kafka, Valkey, PostgreSQL and our own services.

Nothing outside `fanfare.cli` imports this package; the services know only addresses.
"""
