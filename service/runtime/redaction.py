"""Takes personal data and secrets out of texts for the log and for operators."""

import re
from functools import lru_cache

API_KEY_PATTERN = re.compile(r"da_[0-9A-Za-z]{8}_[0-9A-Za-z]{8,}")
"""Matches anything that looks like an API key, or the beginning of one."""

# The match begins at a word's first character: tried at each character, a long word without an @ would take minutes.
# In a path the @ may be percent-encoded.
_EMAIL = re.compile(r"(?<![^\s\"'<>()=,;:])[^\s\"'<>()=,;:]+(?:@|%40)[^\s\"'<>()=,;:]+")
# PostgreSQL quotes the row, up to what SQLAlchemy or Python writes next. A value may have many lines.
_DETAIL = re.compile(
    r"^(DETAIL|CONTEXT|\s*Failing row).*?(?=^\[SQL|^The above exception was|\Z)", re.MULTILINE | re.DOTALL
)
_MAX_CHARACTERS = 200


def redact(text: str) -> str:
    """Replaces e-mail addresses, API keys and quoted rows in a text, such as an error's."""
    return API_KEY_PATTERN.sub("[key]", _EMAIL.sub("[e-mail]", _DETAIL.sub("[row]\n", text)))


# Cached, because nearly every call has the name of one of a few methods.
@lru_cache(maxsize=128)
def redact_and_cut(text: str) -> str:
    """Redacts a text of a caller's, and then cuts it: half a key would not be recognised."""
    redacted = redact(text)
    if len(redacted) <= _MAX_CHARACTERS:
        return redacted
    return f"{redacted[:_MAX_CHARACTERS]}… ({len(text)} characters)"
