"""Operations as people and programs read them on the command line."""

from typing import Any

from service.cli import printing

COLUMNS = ("when", "operation", "kind", "change", "customers", "key", "note")

_SHOWN_CUSTOMERS = 2


def plain(operation: dict[str, Any]) -> dict[str, Any]:
    """Returns an operation with its kind as a plain word."""
    return operation | {"kind": printing.word(operation["kind"], "OPERATION_KIND_")}


def row(operation: dict[str, Any]) -> tuple[str, ...]:
    """Returns an operation's row of a table."""
    kind = plain(operation)["kind"]
    if reverted := operation["reverts_operation_id"]:
        kind += f" of {reverted}"
    listed = operation["customer_ids"]
    more = [f"and {len(listed) - _SHOWN_CUSTOMERS} more"] if len(listed) > _SHOWN_CUSTOMERS else []
    return (
        operation["occurred_at"],
        operation["operation_id"],
        kind,
        f"+{operation['assigned_count']} -{operation['unassigned_count']}",
        " ".join(listed[:_SHOWN_CUSTOMERS] + more),
        operation["key_id"] or "-",
        operation["note"],
    )
