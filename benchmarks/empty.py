"""A gRPC server whose one call does nothing: `python -m benchmarks.empty THREADS`."""

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.empty_pb2 import Empty

SERVICE, METHOD = "benchmarks.Empty", "Nothing"


def _nothing(_request: Empty, _context: grpc.ServicerContext) -> Empty:
    return Empty()


def main(threads: int) -> None:
    """Serves until it is terminated."""
    handler = grpc.unary_unary_rpc_method_handler(_nothing, Empty.FromString, Empty.SerializeToString)
    server = grpc.server(ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stderr.write(json.dumps({"event": "serving", "port": port}) + "\n")
    sys.stderr.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(None).wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(int(sys.argv[1]))
