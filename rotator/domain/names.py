"""Fly's rules for names, the one place that has them. Each function gives what is wrong, or None.

The sources are FACTS.md 5, GRAPHQL.md 5 and MACHINES.md 3. What pydantic reads uses them by
`rotator.validated`, the manifest by `named` of `domain.fields`, commands by `cli.options`.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_REGION: Final = re.compile(r"[a-z]{3}")
_SECRET: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_MACHINE: Final = re.compile(r"[0-9a-z]{14}")
_VOLUME: Final = re.compile(r"vol_[0-9a-z]{1,40}")
_INSTANCE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_SIZE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_IMAGE: Final = re.compile(
    r"[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(@sha256:[0-9a-f]{64})?"
)
_NOT_IN_LABEL: Final = re.compile(r"[^a-z0-9]+")
_NOT_IN_SECRET: Final = re.compile(r"[^A-Za-z0-9_]+")
LABEL_MAX: Final = 63
"""Longest DNS label (RFC 1035): app names and peer names become one."""
HOST_MAX: Final = 253
"""Longest host name as text (RFC 1035)."""
_LABEL_RULE: Final = "lowercase letters, digits and dashes"


def wrong_app(name: str) -> str | None:
    """Fly: lowercase letters, digits and dashes; it becomes a DNS label."""
    return _wrong_label(name, "an app name", LABEL_MAX)


def wrong_organization(slug: str) -> str | None:
    """Fly: the same letters as an app name."""
    return _wrong_label(slug, "an organisation slug", 100)


def wrong_network(name: str) -> str | None:
    """Fly: a private network is named like an app."""
    return _wrong_label(name, "a network name", LABEL_MAX)


def wrong_peer(name: str, *, room: int = 0) -> str | None:
    """A peer's name becomes a DNS label; `room` characters must stay free for our suffix."""
    return _wrong_label(name, "a peer name", LABEL_MAX - room)


def wrong_region(code: str) -> str | None:
    """Fly: three lowercase letters. Which ones there are, the API tells (`domain.platform`)."""
    meant = code.strip().lower()
    return _wrong(_REGION, code, "a region", "three lowercase letters", 3, meant=meant)


def wrong_secret(name: str) -> str | None:
    """The form of an environment variable; case is kept."""
    meant = _NOT_IN_SECRET.sub("_", name.strip())
    rule = "letters, digits and _, no digit first"
    return _wrong(_SECRET, name, "a secret name", rule, 255, meant=meant)


def wrong_token(name: str) -> str | None:
    """Fly takes any text; ours is printable and short enough for a list."""
    if not name or name.strip() != name or not name.isprintable():
        return f"{name!r} is not a token name: printable text without spaces around it"
    if len(name) > 100:
        return f"a token name has at most 100 characters, this one has {len(name)}"
    return None


def wrong_credential(name: str) -> str | None:
    """Ours: what is easy to type in a shell."""
    meant = _meant_label(name)
    rule = "lowercase letters, digits, dots, - and _"
    return _wrong(_CREDENTIAL, name, "a credential name", rule, 80, meant=meant)


def wrong_machine(machine_id: str) -> str | None:
    """Fly: 14 characters."""
    meant = machine_id.strip().lower()
    rule = "14 lowercase letters and digits"
    return _wrong(_MACHINE, machine_id, "a machine id", rule, 14, meant=meant)


def wrong_volume(volume_id: str) -> str | None:
    """Fly: `vol_` and lowercase letters and digits, 16 as far as is known."""
    meant = volume_id.strip().lower()
    return _wrong(_VOLUME, volume_id, "a volume id", "vol_ and letters and digits", 44, meant=meant)


def wrong_instance(instance_id: str) -> str | None:
    """Fly: a machine's version is a ULID."""
    meant = instance_id.strip().upper()
    return _wrong(_INSTANCE, instance_id, "a machine's version", "a ULID of 26", 26, meant=meant)


def wrong_size(name: str) -> str | None:
    """Fly: a preset such as `shared-cpu-1x`. Which there are, the API tells (`domain.platform`)."""
    meant = _meant_label(name)
    return _wrong(_SIZE, name, "a machine size", "a preset such as shared-cpu-1x", 40, meant=meant)


def wrong_image(reference: str) -> str | None:
    """A registry path with an optional tag and digest."""
    rule = "registry/name:tag or registry/name@sha256:…"
    return _wrong(_IMAGE, reference, "an image", rule, 512, meant=reference.strip().lower())


def wrong_host(name: str) -> str | None:
    """The name that a certificate is for: labels of RFC 1123, at least two, `*` for the first one.

    Letters beyond ASCII are taken as IDNA writes them (`host_name`).
    """
    try:
        host = host_name(name)
    except ValueError:
        return f"{name[:80]!r} is not a host name: one of its labels can't be written for the DNS"
    if len(host) > HOST_MAX:
        return f"a host name has at most {HOST_MAX} characters, {host[:20]!r}… has {len(host)}"
    labels = host.removeprefix("*.").split(".")
    good = all(len(label) <= LABEL_MAX and _LABEL.fullmatch(label) for label in labels)
    if good and len(labels) > 1 and not labels[-1].isdigit():
        return None
    rule = "labels of letters, digits and dashes with dots between, such as www.example.com"
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://|[/?#:].*$", "", host)
    hint = f"; did you mean {bare!r}?" if bare != host and wrong_host(bare) is None else ""
    return f"{name[:80]!r} is not a host name: {rule}{hint}"


def host_name(name: str) -> str:
    """A host name as the DNS has it: lowercase, IDNA, without the dot at its end.

    Raises:
        ValueError: a label is empty or too long, or has a character that IDNA does not take.
    """
    text = name.removesuffix(".").lower()
    star, host = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return star + (host if host.isascii() else host.encode("idna").decode("ascii"))


def _meant_label(name: str) -> str:
    return _NOT_IN_LABEL.sub("-", name.strip().lower()).strip("-")


def _wrong_label(name: str, what: str, longest: int) -> str | None:
    return _wrong(_LABEL, name, what, _LABEL_RULE, longest, meant=_meant_label(name))


def _wrong(
    pattern: re.Pattern[str], name: str, what: str, rule: str, longest: int, *, meant: str
) -> str | None:
    """What is wrong with a name, and the one that was likely meant if that is right."""
    if len(name) > longest:
        return f"{what} has at most {longest} characters here, {name[:20]!r}… has {len(name)}"
    if pattern.fullmatch(name) is not None:
        return None
    right = meant != name and pattern.fullmatch(meant) is not None
    hint = f"; did you mean {meant!r}?" if right else ""
    return f"{name[:80]!r} is not {what}: {rule}{hint}"
