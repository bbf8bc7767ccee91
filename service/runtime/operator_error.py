"""The error that an operator sees: one line on standard error, and exit code 1."""


class OperatorError(Exception):
    """An error whose text is one sentence for an operator: what is wrong and what to do."""
