"""The REST gateway: a real process in front of a real gRPC server, over real HTTP."""
