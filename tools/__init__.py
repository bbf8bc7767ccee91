"""Programs that make files of this repository from other files; `make docs` runs them and `make check` compares."""
