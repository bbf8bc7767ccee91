"""`db prune`, as an operator runs it."""

from tests.cli.conftest import Command


def test_it_says_what_it_removed(command: Command) -> None:
    done = command("db", "prune", "--older-than", "400d")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("removed 0 ended assignments and 0 operations from before 20")


def test_an_age_that_is_no_age_is_refused_with_one_that_is(plain: Command) -> None:
    ages = ("", "400", "23h", "0d", "-1d", "36501d", "1y", "1d2h")
    for answer in plain.each(*(("db", "prune", f"--older-than={age}") for age in ages)):
        assert (answer.code, answer.out) == (2, "")
        assert "must be a duration such as 400d, from 1d to 36500d" in " ".join(answer.err.split())
