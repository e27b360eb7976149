"""Which partition a key belongs into. Pure."""

from functools import lru_cache

from aiokafka.partitioner import murmur2

__all__ = ["partition_of"]


@lru_cache(maxsize=65_536)
def partition_of(key: int, count: int) -> int:
    """The partition of a key, as every Kafka client computes it."""
    hashed: int = murmur2(str(key).encode())
    return (hashed & 0x7FFFFFFF) % count
