"""What the services of Fanfare share: settings, ids, records, Kafka, Redis, the database, telemetry.

This package imports no service.
"""

__version__ = "0.1.0"
