"""What holds for PostgreSQL alone."""
