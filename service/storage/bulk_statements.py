"""The statements of the import and the export of whole files."""

from sqlalchemy import Column, Integer, MetaData, Table, Text, and_, func, select, text

from service.storage.tables import assignment, customer, device
from service.storage.types import Ordered

# Holds the lines during the transaction.
import_line = Table(
    "import_line",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("email", Text),
    Column("email_key", Ordered),
    Column("name", Text),
    Column("customer_id", Ordered),
    Column("identifier", Ordered),
    Column("device_id", Ordered),
    Column("device_type", Text),
    prefixes=["TEMPORARY"],
)

OTHER_TYPE = (
    select(import_line.c.number)
    .join(device, and_(device.c.identifier == import_line.c.identifier, device.c.type != import_line.c.device_type))
    .where(device.c.organization_id == text(":organization_id"))
    .order_by(import_line.c.number)
)

CREATE_CUSTOMERS = text("""
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT :organization_id, customer_id, email, email_key, name, clock_timestamp(), 0, clock_timestamp(), 0
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY email_key)
ORDER BY email_key
ON CONFLICT (organization_id, email_key) DO NOTHING
""")

CREATE_DEVICES = text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT :organization_id, identifier, device_id, device_type, clock_timestamp()
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY identifier)
ORDER BY identifier
ON CONFLICT (organization_id, identifier) DO NOTHING
""")

# In the order of the ids, as in every transaction that locks several customers, so that none deadlock.
LOCK_CUSTOMERS = (
    select(customer.c.id)
    .where(
        customer.c.organization_id == text(":organization_id"),
        customer.c.email_key.in_(select(import_line.c.email_key)),
    )
    .order_by(customer.c.id)
    .with_for_update(key_share=True)
)

ADDRESSES = select(func.count(import_line.c.email_key.distinct()))

# CROSS JOIN makes SQLite read the tables in this order; otherwise it reads every line for every customer.
ASSIGN = text("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT DISTINCT c.organization_id, c.id, l.identifier, c.revision + 1
FROM import_line AS l CROSS JOIN customer AS c
WHERE c.organization_id = :organization_id AND c.email_key = l.email_key
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
""")

_NEW = """
FROM assignment AS a JOIN customer AS c ON c.organization_id = a.organization_id AND c.id = a.customer_id
WHERE a.organization_id = :organization_id AND a.assigned_revision = c.revision + 1
  AND c.email_key IN (SELECT email_key FROM import_line)
"""

LOG = text(f"""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT a.organization_id, a.customer_id, a.assigned_revision, a.device_identifier, 1, a.assigned_revision
{_NEW}""")

DELTAS = text(f"SELECT a.customer_id, count(*) {_NEW} GROUP BY a.customer_id")

EXPORT = (
    select(customer.c.email, assignment.c.device_identifier, device.c.type)
    .select_from(assignment)
    .join(
        customer,
        and_(
            customer.c.organization_id == assignment.c.organization_id,
            customer.c.id == assignment.c.customer_id,
        ),
    )
    .join(
        device,
        and_(
            device.c.organization_id == assignment.c.organization_id,
            device.c.identifier == assignment.c.device_identifier,
        ),
    )
    .order_by(customer.c.email_key, assignment.c.device_identifier)
    .execution_options(yield_per=5_000)
)
