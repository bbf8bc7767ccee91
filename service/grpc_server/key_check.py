"""Serves the method with which the gateway checks a key: the interceptor checks it, and the answer is its owner."""

from typing import Any

import grpc

from service.grpc_client.metadata import KEY_CHECK
from service.grpc_server.incoming_call import served


class KeyCheck(grpc.GenericRpcHandler):
    """Serves one method, whose request is empty and whose answer is the organisation's id."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the method's handler."""
        if handler_call_details.method != f"/{KEY_CHECK}":
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda _request, _context: served().owner.encode(), request_deserializer=bytes, response_serializer=bytes
        )
