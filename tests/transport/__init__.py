"""Tests of `service/transport`."""
