"""The parts that `fanfare up` brings along and watches: Apache Kafka, Valkey, PostgreSQL and our services.

Nothing outside `fanfare.cli` imports this package; the services know only addresses.
"""
