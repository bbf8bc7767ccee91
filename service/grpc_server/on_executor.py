"""Has gRPC run a method on an executor of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def on_executor(executor: ThreadPoolExecutor, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a behaviour that gRPC runs on an executor. gRPC looks for the executor in an attribute."""

    def run(*args: Any) -> Any:
        return behavior(*args)

    run.experimental_thread_pool = executor  # type: ignore[attr-defined]  # gRPC looks for it by this name
    return run
