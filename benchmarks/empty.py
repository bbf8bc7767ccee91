"""A gRPC server whose calls do nothing: `python -m benchmarks.empty THREADS PATH SIZE PORT`.

`SIZE` is the number of bytes in an answer, `PORT` may be another process's, and 0 is a free one. Its threads stay
together on one CPU as the service's do.
"""

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from service.runtime import affinity


def main(threads: int, path: str, size: int, port: int) -> None:
    """Serves until it is terminated."""
    answer = bytes(size)

    def nothing(_request: bytes, _context: Any) -> bytes:
        return answer

    service, _, method = path.removeprefix("/").partition("/")
    handler = grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(nothing)})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with affinity.together():
        server = grpc.server(ThreadPoolExecutor(threads), options=(("grpc.so_reuseport", 1),))
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        print(json.dumps({"event": "serving", "port": port}), file=sys.stderr, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        server.stop(None).wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
