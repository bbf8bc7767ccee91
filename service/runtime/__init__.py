"""What Python and the machine need, below the domain and free of gRPC."""
