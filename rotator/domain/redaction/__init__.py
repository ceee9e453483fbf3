"""What keeps values out of texts (P6): by content, by field name, by what this process holds."""

from rotator.domain.redaction.content import MASK, without_values
from rotator.domain.redaction.field_names import is_secret_name
from rotator.domain.redaction.held import HeldValues
from rotator.domain.redaction.kept import LONGEST_TEXT, MOST_DETAILS, kept_event, kept_text
from rotator.domain.redaction.structure import Scrubber

__all__ = [
    "LONGEST_TEXT",
    "MASK",
    "MOST_DETAILS",
    "HeldValues",
    "Scrubber",
    "is_secret_name",
    "kept_event",
    "kept_text",
    "without_values",
]
