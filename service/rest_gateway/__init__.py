"""The REST gateway: JSON in, a gRPC call, JSON out. It has no rules, no authorisation and no storage of its own.

A request passes these modules:

- `listener.py`, `connection_limit.py`, `paced_selector.py` and `protocol.py`: connections, on uvicorn and h11;
- `request_middleware.py` and `error_middleware.py`: its id, its line in the log, and the response to exceptions;
- `routes.py`: which rpc has which path;
- `unary.py` or `events.py`: the call, on a channel of `channel_pool.py`; `headers.py`, `keys.py`, `requests.py` and
  `message_reader.py` read the request, `writer.py` and `responses.py` write the response;
- `errors.py` and `call_errors.py`: all errors.

`server.py` runs it, `application.py` builds the ASGI application, and `pages.py` serves `/openapi.json` and `/docs`,
which `tools/openapi` makes.
"""
