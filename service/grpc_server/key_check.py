"""Serves the method that checks the key of the call: the interceptor checks it before, and this says whose it is."""

from typing import Any

import grpc

from service.grpc_client.metadata import KEY_CHECK
from service.grpc_server.arrival import served


class KeyCheck(grpc.GenericRpcHandler):
    """Answers the one method, in bytes: its request is empty, and its answer is the organization's id."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Takes the method's calls."""
        if handler_call_details.method != f"/{KEY_CHECK}":
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda _request, _context: served().owner.encode(), request_deserializer=bytes, response_serializer=bytes
        )
