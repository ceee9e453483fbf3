"""Fly's rules for names. Each function gives what is wrong with a name, or None."""

from __future__ import annotations

import re
from typing import Final

_APP: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_REGION: Final = re.compile(r"[a-z]{3}")
_SECRET: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PEER: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_CREDENTIAL: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_MACHINE: Final = re.compile(r"[0-9a-z]{14}")
_IMAGE: Final = re.compile(
    r"[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(@sha256:[0-9a-f]{64})?"
)
LABEL_MAX: Final = 63
"""Longest DNS label (RFC 1035): app names and peer names become one."""


def wrong_app(name: str) -> str | None:
    """Fly: lowercase letters, digits and dashes; it becomes a DNS label."""
    return _wrong(_APP, name, "an app name", "lowercase letters, digits and dashes", LABEL_MAX)


def wrong_organization(slug: str) -> str | None:
    """Fly: the same letters as an app name."""
    return _wrong(_APP, slug, "an organisation slug", "lowercase letters, digits and dashes", 100)


def wrong_region(code: str) -> str | None:
    """Fly: three lowercase letters."""
    return _wrong(_REGION, code, "a region", "three lowercase letters", 3)


def wrong_secret(name: str) -> str | None:
    """The form of an environment variable; case is kept."""
    return _wrong(_SECRET, name, "a secret name", "letters, digits and _, no digit first", 255)


def wrong_peer(name: str, *, room: int = 0) -> str | None:
    """A peer's name becomes a DNS label; `room` characters must stay free for our suffix."""
    return _wrong(
        _PEER, name, "a peer name", "lowercase letters, digits and dashes", LABEL_MAX - room
    )


def wrong_token(name: str) -> str | None:
    """Fly takes any text; ours is printable and short enough for a list."""
    if not name or name.strip() != name or not name.isprintable():
        return f"{name!r} is not a token name: printable text without spaces around it"
    if len(name) > 100:
        return f"a token name has at most 100 characters, this one has {len(name)}"
    return None


def wrong_credential(name: str) -> str | None:
    """Ours: what is easy to type in a shell."""
    return _wrong(
        _CREDENTIAL, name, "a credential name", "lowercase letters, digits, dots, - and _", 80
    )


def wrong_machine(machine_id: str) -> str | None:
    """Fly: 14 characters."""
    return _wrong(_MACHINE, machine_id, "a machine id", "14 lowercase letters and digits", 14)


def wrong_image(reference: str) -> str | None:
    """A registry path with an optional tag and digest."""
    return _wrong(_IMAGE, reference, "an image", "registry/name:tag or registry/name@sha256:…", 512)


def _wrong(pattern: re.Pattern[str], name: str, what: str, rule: str, longest: int) -> str | None:
    if len(name) > longest:
        return f"{what} has at most {longest} characters here, {name[:20]!r}… has {len(name)}"
    if pattern.fullmatch(name) is None:
        return f"{name[:80]!r} is not {what}: {rule}"
    return None
