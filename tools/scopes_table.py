"""Makes the table of scopes from `service/method_table.py`."""

from service.domain.keys import SCOPES
from service.method_table import RPCS


def rows() -> list[str]:
    """Returns the lines of the table, in Markdown."""
    lines = ["| scope | allows |", "|---|---|"]
    for scope in SCOPES:
        rpcs = [f"`{_name(method)}`" for method, rpc in RPCS.items() if scope in rpc.scopes]
        more = [f"all fields of `{_name(method)}`" for method, rpc in RPCS.items() if scope in rpc.optional_scopes]
        lines.append(f"| `{scope}` | {', '.join(rpcs + more)} |")
    return lines


def _name(method: str) -> str:
    return method.rpartition("/")[2]
