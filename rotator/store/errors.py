"""Database errors as errors that say what to do. Nothing of a statement's values is in them."""

from __future__ import annotations

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rotator.domain.errors import Busy, InputError, NeedsHuman, RotatorError, Unavailable

_LATER = "rotator tries again by itself"
_SIGNS: tuple[tuple[tuple[str, ...], type[RotatorError], str, str], ...] = (
    (
        ("database is locked", "database table is locked"),
        Unavailable,
        "is locked by another process",
        _LATER,
    ),
    (
        ("disk is full", "No space left", "disk full"),
        Unavailable,
        "has no space left",
        "free some space; " + _LATER,
    ),
    (
        ("readonly database", "read-only transaction"),
        Unavailable,
        "is read-only",
        "make it writable for rotator's user; " + _LATER,
    ),
    (
        ("unable to open database file", "disk I/O error"),
        Unavailable,
        "can't be opened: its directory or volume is gone or not ours",
        "see that the volume is mounted; " + _LATER,
    ),
    (
        ("file is not a database", "database disk image is malformed"),
        NeedsHuman,
        "is damaged",
        "restore it from a backup",
    ),
    (
        ("no such table", "no such column", "UndefinedTable", "does not exist"),
        InputError,
        "lacks a table or is missing altogether",
        "run `rotator db upgrade`",
    ),
    (
        ("password authentication failed", "no password supplied"),
        InputError,
        "refuses the user or password",
        "mend ROTATOR_DATABASE_URL",
    ),
    (
        ("deadlock detected", "could not serialize"),
        Unavailable,
        "was busy with a conflicting transaction",
        _LATER,
    ),
)


def translated(error: SQLAlchemyError, where: str) -> RotatorError:
    """The domain error for a database error. `where` names the database without its password."""
    text = str(getattr(error, "orig", None) or error)
    if isinstance(error, IntegrityError):
        if "uq_rotations_active" in text or "rotations.credential_id" in text:
            return Busy("a rotation of this credential is under way already")
        if "uq_rollouts_open" in text or "rollouts.app" in text:
            return Busy("a rollout of this app is under way already", after_seconds=5)
        if "credentials_name" in text or "credentials.name" in text:
            return Busy("another worker tracks a credential of this name already", after_seconds=1)
        return NeedsHuman(f"the database {where} refused a row that breaks its rules")
    if isinstance(error, DataError):
        return NeedsHuman(f"the database {where} refused a value that does not fit")
    if isinstance(error, PoolTimeout):
        return Unavailable(f"the database {where} has no connection free", next_step=_LATER)
    for signs, kind, what, then in _SIGNS:
        if any(sign in text for sign in signs):
            return kind(f"the database {where} {what}", next_step=then)
    if isinstance(error, DBAPIError | InvalidRequestError):
        return Unavailable(f"the database {where} does not answer", next_step=_LATER)
    return NeedsHuman(f"the database {where} failed: {type(error).__name__}")


def unreadable(sequence: object) -> RotatorError:
    """The error for an event that no rotator wrote."""
    return NeedsHuman(
        f"event {sequence} of the audit log can't be read: it was changed past rotator",
        next_step="`rotator audit verify` names the damage",
    )
