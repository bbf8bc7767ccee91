"""The standard streams, of which whatever started the process may have closed some."""

import os
import sys

from service.runtime.operator_error import OperatorError


class OutputLost(OperatorError):
    """What a command has printed cannot be written; the text says why."""


def open_missing() -> None:
    """Opens those that are closed, before a file or a connection gets their numbers and what is meant for them.

    Standard error then goes nowhere. Standard output refuses what is written to it: a command must not end well when
    what it prints is lost.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free
    # Python has none where one was closed, whatever the types say.
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def finish_output() -> None:
    """Writes what has been printed.

    Raises:
        OutputLost: it cannot be written.
        BrokenPipeError: nothing reads it any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(f"standard output cannot be written: {error.strerror}") from error


def drop_output() -> None:
    """Forgets what has been printed and cannot be written: at the end of the process, Python would try it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def say(text: str) -> None:
    """Writes a line to standard error, if that can be written."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # there is nowhere left to say it
