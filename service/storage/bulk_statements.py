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
    .where(device.c.organization_number == text(":organization_number"))
    .order_by(import_line.c.number)
)

CREATE_DEVICES = text("""
INSERT INTO device (organization_number, identifier, id, type, created_at)
SELECT :organization_number, identifier, device_id, device_type, clock_timestamp()
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY identifier)
ORDER BY identifier
ON CONFLICT (organization_number, identifier) DO NOTHING
""")

# In the order of the numbers, as in every transaction that locks several customers, so that none deadlock. An
# expression, because SQLite would read all customers for the order of the column.
LOCK_CUSTOMERS = (
    select(customer.c.number)
    .where(
        customer.c.organization_number == text(":organization_number"),
        customer.c.email_key.in_(select(import_line.c.email_key)),
    )
    .order_by(customer.c.number + 0)
    .with_for_update(key_share=True)
)

ADDRESSES = select(func.count(import_line.c.email_key.distinct()))

# CROSS JOIN makes SQLite read the tables in this order; otherwise it reads every line for every customer.
ASSIGN = text("""
INSERT INTO assignment (organization_number, customer_number, device_identifier, assigned_revision)
SELECT DISTINCT c.organization_number, c.number, l.identifier, c.revision + 1
FROM import_line AS l CROSS JOIN customer AS c
WHERE c.organization_number = :organization_number AND c.email_key = l.email_key
ORDER BY 2, 3
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
""")

DELTAS = text("""
SELECT c.id, c.number, count(*)
FROM (SELECT DISTINCT email_key FROM import_line) AS l CROSS JOIN customer AS c CROSS JOIN assignment AS a
WHERE c.organization_number = :organization_number AND c.email_key = l.email_key
  AND a.organization_number = :organization_number AND a.customer_number = c.number
  AND a.assigned_revision = c.revision + 1
GROUP BY c.id, c.number
""")

EXPORT = (
    select(customer.c.email, assignment.c.device_identifier, device.c.type)
    .select_from(assignment)
    .join(
        customer,
        and_(
            customer.c.organization_number == assignment.c.organization_number,
            customer.c.number == assignment.c.customer_number,
        ),
    )
    .join(
        device,
        and_(
            device.c.organization_number == assignment.c.organization_number,
            device.c.identifier == assignment.c.device_identifier,
        ),
    )
    .order_by(customer.c.email_key, assignment.c.device_identifier)
    .execution_options(yield_per=5_000)
)
