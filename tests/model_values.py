"""What hypothesis draws from for the calls that are compared with the model."""

from hypothesis import strategies as st

EMAILS = ("ada@example.com", "bob@example.com", "eve@example.com", "Max@Example.com", "ine@example.com")
SHORT = ("a", "B", "b 1", "b%", "é", "e\u0301", "\uffee", "\U0001f600", "NULL", "0", "00", '"q",\\')
# Devices that are not there at the beginning.
NEW = tuple(f"new {number}" for number in range(12))
# So large that 70 of them do not fit an answer.
LONG = tuple(f"{number:02}" + "\U0001f680" * 253 for number in range(70))

seldom = st.sampled_from((False, False, False, True))
sometimes = st.sampled_from((False, True))
organizations = st.sampled_from((0, 1))
numbers = st.integers(0, 999)
sizes = st.sampled_from((0, 1, 2, 5))
offsets = st.sampled_from((None, None, -1, 0, 1, -1, 0, 1, -(10**12), 10**12, 3 * 10**7))
emails = st.sampled_from((*EMAILS[:2], *EMAILS, EMAILS[2].upper(), EMAILS[4].title()))
identifiers = st.sampled_from((*SHORT, *SHORT, *NEW, *LONG[:3]))
batches = st.lists(identifiers, min_size=1, max_size=5)
request_ids = st.one_of(st.uuids(version=4).map(str), st.uuids(version=4).map(str), st.just(""))
expectations = st.sampled_from(
    ("",) * 16 + ("right",) * 4 + ("stale", "another customer's", "another organisation's", "none")
)
views = st.sampled_from((0, 1, 2, 3))
options = st.fixed_dictionaries(
    {
        "request_id": request_ids,
        "validate_only": seldom,
        "note": st.sampled_from(("", "returned", "zurück \U0001f4e6")),
    }
)
# The type that imports give, too: an import refuses a device that has another.
types = st.sampled_from(("", "thermostat", "thermostat", "thermostat"))
