"""What the words mean: values, rules, errors, and one use case a file. Knows no database and no wire."""
