"""`python -m service` is `device-assignment`."""

from service.cli import main

main()
