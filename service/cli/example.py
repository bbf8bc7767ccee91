"""A small organisation to try the service on."""

import os
import secrets
import shlex
import sys
from pathlib import Path

from service.config import PREFIX
from service.domain.import_lines import COLUMNS, Line, read_lines
from service.domain.keys import SCOPES, sha256
from service.storage import bulk, location, schema
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
_PATH = "/api/ext-v1/deviceAssignment/unassignDevicesFromOwner"

OTHER_PORTS = "; stop what is there, or take free ports: make run GRPC_ADDRESS=127.0.0.1:0 REST_ADDRESS=127.0.0.1:0"
"""Ends the sentence of a port that is taken."""


def prepare(database_url: str) -> str | None:
    """Upgrades the database, and makes the example if there is no organisation yet.

    Returns:
        None if `example.api-key` in the working folder has a key that works. A new key is written to it if it has
        none and the database has the example's organisation. Otherwise the database has other data, and the name of
        its first organisation is returned.
    """
    database = Database(database_url)
    try:
        with location.worded(database_url):
            schema.upgrade(database)
            organizations = Organizations(database)
            if bulk.is_empty(database):
                made = organizations.create(NAME)
                lines = [line for line in read_lines(_ASSIGNMENTS) if isinstance(line, Line)]
                bulk.import_lines(database, made.id, lines, skip_bad_lines=False)
            elif _key_works(database):
                return None
            elif (found := organizations.named(NAME)) is None:
                return organizations.all()[0].name
            else:
                made = found
            _keep(Keys(database).create(made.id, SCOPES, None)[1])
            return None
    finally:
        database.close()


def _keep(secret: str) -> None:
    """Writes the key's file anew, readable by its owner alone; what had its name, a link for example, is replaced."""
    new = _KEY_FILE.with_name(f"{_KEY_FILE.name}.{secrets.token_hex(8)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as text:
            os.fchmod(file, 0o600)
            text.write(secret + "\n")
        new.replace(_KEY_FILE)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _key_works(database: Database) -> bool:
    if not _KEY_FILE.is_file():
        return False
    secret = _KEY_FILE.read_text(encoding="utf-8", errors="replace").strip()
    # The file may be another database's, or the key revoked since.
    return Keys(database).principal(sha256(secret)) is not None


def invitation(address: str, rest_address: str | None, organization: str | None) -> str:
    """Returns what to do next, with commands to paste.

    Args:
        address: where gRPC is served.
        rest_address: where REST is served; None if it is not.
        organization: what `prepare` returned.
    """
    where = f"gRPC on {address}" + (f" and REST on {rest_address}" if rest_address else "")
    page = f"Every REST call is described on http://{rest_address}/docs\n" if rest_address else ""
    if organization is not None:
        command = shlex.join([sys.argv[0], "key", "create", "--org", organization])
        return (
            f"Serving {where}, with the data that is there already. Make a key for it in another terminal, in this "
            f"folder and with the same {PREFIX}DATABASE_URL:\n\n  {command}\n\n{page}Ctrl-C stops the server.\n"
        )
    listed = ", ".join(f'"{device}"' for device in DEVICES)
    body = f'{{"customer_email": "{CUSTOMER}", "device_identifiers": [{listed}]}}'
    return (
        f"Serving {where}. Paste this into another terminal, in this folder:\n\n"
        f"  export API_KEY=$(cat {_KEY_FILE})\n"
        f'  .venv/bin/buf curl --http2-prior-knowledge --protocol grpc -H "x-api-key: $API_KEY" \\\n'
        f"    -d '{body}' \\\n"
        f"    http://{address}/{_METHOD}\n\n"
        f"or, with grpcurl:\n\n"
        f"  grpcurl -plaintext -expand-headers -H 'x-api-key: ${{API_KEY}}' \\\n"
        f"    -d '{body}' \\\n"
        f"    {address} {_METHOD}\n\n"
        f"{_rest_call(rest_address) if rest_address else ''}"
        f"{page}"
        "Ctrl-C stops the server.\n"
    )


def _rest_call(address: str) -> str:
    listed = ", ".join(f'"{device}"' for device in DEVICES)
    return (
        f"or, as REST:\n\n"
        f"  curl http://{address}{_PATH} \\\n"
        f"    -H \"x-api-key: $API_KEY\" -H 'content-type: application/json' \\\n"
        f'    -d \'{{"customerEmail": "{CUSTOMER}", "deviceIdentifiers": [{listed}]}}\'\n\n'
    )
