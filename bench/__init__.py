"""Benchmarks that are run from a checkout."""
