"""Tests of the supervisor, in processes of their own."""
