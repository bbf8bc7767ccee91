"""The rules: values, errors, and one use case a file, with no database, no wire, no threads and no clock."""
