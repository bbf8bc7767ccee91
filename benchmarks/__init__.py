"""Measures the service beside its limits: `make bench`."""
