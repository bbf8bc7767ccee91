"""A client of the server, which the commands use; the gateway uses its parts.

`channel.py` opens channels; `connection.py` calls rpcs once, and `client.py` with retries; `failure.py` reads errors.
`certificate.py` checks certificates, and `renewal.py` reads them again when their files change.
"""
