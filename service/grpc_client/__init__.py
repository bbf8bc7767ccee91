"""What the gateway and the commands share to call the server over gRPC."""
