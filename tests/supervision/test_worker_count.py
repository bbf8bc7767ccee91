"""The number of workers is the largest that all limits allow."""

import pytest

from service.supervision.worker_count import Means


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        (Means(4, None, 97, 25), (3, "connections to the database")),
        (Means(2, None, 97, 25), (2, "CPUs allowed")),
        (Means(8, 1.5, 497, 25), (2, "CPU quota")),  # rounded up
        (Means(8, 0.25, 497, 25), (1, "CPU quota")),
        (Means(8, 16.0, 497, 25), (8, "CPUs allowed")),
        (Means(8, None, 20, 25), (1, "connections to the database")),
        (Means(8, None, None, 25), (1, "kind of database")),
    ],
)
def test_the_smallest_limit_decides(means: Means, chosen: tuple[int, str]) -> None:
    assert means.choose() == chosen
