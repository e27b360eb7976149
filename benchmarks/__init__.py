"""Benchmarks: each `python -m benchmarks.NAME [--json]`, each a ratio against a baseline measured in the same run."""
