"""A small organisation to try the service on."""

from pathlib import Path

from service.domain.import_lines import COLUMNS, Line, read_lines
from service.domain.keys import SCOPES, sha256
from service.storage import bulk, schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations

NAME = "example"
CUSTOMER = "ada@example.com"
DEVICES = ("SN-1001", "SN-1002", "SN-9999")

_ASSIGNMENTS = (
    ",".join(COLUMNS),
    f"{CUSTOMER},SN-1001,thermostat",
    f"{CUSTOMER},SN-1002,thermostat",
    f"{CUSTOMER},SN-1003,gateway",
    "grace@example.com,SN-1003,gateway",
    "grace@example.com,SN-2001,thermostat",
)

_KEY_FILE = Path("example.api-key")

_METHOD = "deviceassignment.v1.DeviceAssignmentService/UnassignDevices"


def prepare(database_url: str) -> str | None:
    """Upgrades the database, and makes the example if there is no organisation yet.

    Returns:
        The example's API key: the new one, or the one of an earlier run, which stands in a file beside the working
        folder's database and nowhere else. None if there is neither.
    """
    database = Database(database_url)
    try:
        schema.upgrade(database)
        if not bulk.is_empty(database):
            return _earlier_key(database)
        made = Organizations(database).create(NAME)
        lines = [line for line in read_lines(_ASSIGNMENTS) if isinstance(line, Line)]
        bulk.import_lines(database, made.id, lines, skip_bad_lines=False)
        secret = Keys(database).create(made.id, SCOPES, None)[1]
        _KEY_FILE.touch(mode=0o600)
        _KEY_FILE.write_text(secret + "\n")
        return secret
    finally:
        database.close()


def _earlier_key(database: Database) -> str | None:
    if not _KEY_FILE.exists():
        return None
    secret = _KEY_FILE.read_text().strip()
    # The file may be another database's, or the key revoked since.
    return secret if Keys(database).principal(sha256(secret)) else None


def invitation(address: str, secret: str | None) -> str:
    """Words the call to paste."""
    if secret is None:
        return f"Serving gRPC on {address}. Make a key with `device-assignment key create --org NAME`.\n"
    listed = ", ".join(f'"{device}"' for device in DEVICES)
    body = f'{{"customer_email": "{CUSTOMER}", "device_identifiers": [{listed}]}}'
    return (
        f"Serving gRPC on {address}. Paste this into another terminal, in this folder:\n\n"
        f"  .venv/bin/buf curl --http2-prior-knowledge --protocol grpc -H 'x-api-key: {secret}' \\\n"
        f"    -d '{body}' \\\n"
        f"    http://{address}/{_METHOD}\n\n"
        f"or, with grpcurl:\n\n"
        f"  grpcurl -plaintext -H 'x-api-key: {secret}' \\\n"
        f"    -d '{body}' \\\n"
        f"    {address} {_METHOD}\n\n"
        "Ctrl-C stops the server.\n"
    )
