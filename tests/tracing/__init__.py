"""Tests of the spans."""
