"""Tests of `service/storage`."""
