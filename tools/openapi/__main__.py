"""`python -m tools.openapi FOLDER` writes `openapi.json` and `docs.html` into a folder."""

import sys
from pathlib import Path

from tools.openapi.document import DocumentError
from tools.openapi.files import write


def main() -> None:
    """Writes the files; exits with 1 and one sentence if the document cannot be built."""
    try:
        write(Path(sys.argv[1]))
    except DocumentError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
