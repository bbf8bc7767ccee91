"""Tests of `service/grpc_server`."""
