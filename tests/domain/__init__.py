"""Tests of `service/domain`."""
