"""What `service/storage` promises on every database. Each test here runs on each of `tests.databases.KINDS`."""
