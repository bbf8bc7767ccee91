"""A gRPC server whose calls do nothing: `python -m benchmarks.empty sync|aio THREADS SIZES PORT`.

`SIZES` is a JSON object with the size of the answer to each call's path. Messages stay bytes. `PORT` may be
another process's; 0 is a free one. Its threads stay together as the service's do.
"""

import asyncio
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from service.runtime import affinity


def _handler(answer: bytes) -> Any:
    def nothing(_request: bytes, _context: Any) -> bytes:
        return answer

    return grpc.unary_unary_rpc_method_handler(nothing)


def _aio_handler(answer: bytes) -> Any:
    async def nothing(_request: bytes, _context: Any) -> bytes:
        return answer

    return grpc.unary_unary_rpc_method_handler(nothing)


_SHARED = (("grpc.so_reuseport", 1),)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


def _serving(port: int) -> None:
    sys.stderr.write(json.dumps({"event": "serving", "port": port}) + "\n")
    sys.stderr.flush()


def _sync(threads: int, answers: dict[str, bytes], wanted: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = grpc.server(ThreadPoolExecutor(threads), options=_SHARED)
    server.add_generic_rpc_handlers((_Handlers({path: _handler(answer) for path, answer in answers.items()}),))
    port = server.add_insecure_port(f"127.0.0.1:{wanted}")
    server.start()
    _serving(port)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(None).wait()


async def _aio(answers: dict[str, bytes], wanted: int) -> None:
    server = grpc.aio.server(options=_SHARED)
    server.add_generic_rpc_handlers((_Handlers({path: _aio_handler(answer) for path, answer in answers.items()}),))
    port = server.add_insecure_port(f"127.0.0.1:{wanted}")
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await server.start()
    _serving(port)
    await stopped.wait()
    await server.stop(None)


def main(kind: str, threads: int, sizes: dict[str, int], port: int) -> None:
    """Serves until it is terminated."""
    answers = {path: bytes(size) for path, size in sizes.items()}
    with affinity.together():
        if kind == "sync":
            _sync(threads, answers, port)
        else:
            asyncio.run(_aio(answers, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))
