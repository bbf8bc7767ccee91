"""Tests of `service/runtime`."""
