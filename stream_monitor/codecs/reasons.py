"""Why an event or a label cannot be attributed: all reasons of drift.rejects and of the reject metric."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """In the order in which an event is judged; the first that applies is the one that is told.

    Only what keeps an event from being attributed to a stream, a time and (where labels are joined) an
    id is a reason. Whatever is wrong with the values of features and outputs is counted, not rejected.
    """

    NOT_JSON = "not_json"
    """Empty, truncated, not UTF-8, nested deeper than the parser goes, or more than one document.

    With ``format: arrow``, no Arrow IPC, or one with types that are not read."""
    TOO_LARGE = "too_large"
    """With ``format: arrow``, more values than one record may hold, or that it would unpack to."""
    TOO_MANY_ROWS = "too_many_rows"
    """An array of more events than one record may hold."""
    NOT_OBJECT = "not_object"
    """An event is a JSON object."""
    NO_MODEL = "no_model"
    """Missing, null or empty."""
    BAD_MODEL = "bad_model"
    """Not a string or an integer, too long, or with control characters."""
    UNKNOWN_MODEL = "unknown_model"
    """No entry of ``models`` names it, and unknown models are not accepted."""
    BAD_VERSION = "bad_version"
    """As BAD_MODEL. A version that is missing or null is the empty one."""
    BAD_ROLE = "bad_role"
    """Neither live nor shadow. A role that is missing or null is live."""
    NO_TIME = "no_time"
    """Missing or null; with ``time: kafka``, a record without a timestamp."""
    BAD_TIME = "bad_time"
    """Neither integral epoch milliseconds nor RFC 3339 with a zone, or outside 1970 to 2248."""
    TIME_IN_FUTURE = "time_in_future"
    """Later than the record's own Kafka timestamp by more than ``max_clock_skew``."""
    NO_ID = "no_id"
    """Missing, null or empty, where labels are joined."""
    BAD_ID = "bad_id"
    """Not a string or an integer, or too long, where labels are joined. Elsewhere it is no id."""
    NO_LABEL = "no_label"
    """Of a label: the value is missing. One that is null takes back what was said before."""
    BAD_LABEL = "bad_label"
    """Of a label: an array, too long, or a number that is not finite."""


OF_LABELS = frozenset({Reason.NO_LABEL, Reason.BAD_LABEL})
"""What only labels are rejected for."""

OF_TABLES = frozenset({Reason.TOO_LARGE})
"""What only tables of Arrow are rejected for."""
