"""`rotator audit prove`, `verify-proof`, `key` and `checkpoint`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rotator.cli.archiving import row_of_archive
from rotator.cli.session import opened
from rotator.cli.text import print_json, say
from rotator.domain.audit_proof import MAX_BYTES, check_proof
from rotator.domain.errors import InputError
from rotator.domain.note import VerifierKey, parse_checkpoint, split_notes
from rotator.engine.audit.prove import prove_consistency, prove_inclusion
from rotator.engine.audit.publish import publish
from rotator.engine.checkpoint import sign_checkpoint
from rotator.settings import load_settings
from rotator.store.sealing import CheckpointSigner
from rotator.wiring import Rotator

_SHOWN: Final = ("at", "action", "outcome", "actor_name", "credential", "app", "reason")


async def prove_event(sequence: int, out: Path | None, archive: Path | None) -> int:
    """`rotator audit prove`. An event that no checkpoint covers yet gets one now."""
    async with opened() as rotator:
        archived = None
        if archive is not None:
            archived = await row_of_archive(rotator.store, archive, sequence)
        async with rotator.store.view() as unit:
            newest = await unit.newest_checkpoint()
            size = (await unit.log_head()).size
        covered = newest is not None and newest.sequence >= sequence
        if not covered and sequence <= size and rotator.signer is not None:
            await sign_checkpoint(rotator.parts, rotator.signer)
        proof = await prove_inclusion(rotator.store, sequence, rotator.signer, archived=archived)
    return _written(proof.to_json(), out)


async def prove_growth(old: str, new: str | None, out: Path | None) -> int:
    """`rotator audit prove-consistency`."""
    async with opened() as rotator:
        proof = await prove_consistency(
            rotator.store, _given(old), None if new is None else _given(new), rotator.signer
        )
    return _written(proof.to_json(), out)


def _given(text: str) -> str | int:
    """A checkpoint by its size, or the last one of its file."""
    if text.isascii() and text.isdigit():
        return int(text)
    path = Path(text)
    notes = split_notes(_read(path)) or [""]
    note = notes[-1]
    try:
        parse_checkpoint(note)
    except ValueError as error:
        raise InputError(f"that is no checkpoint: {error}", where=text) from None
    return note


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InputError("the file is too large", where=str(path))
    return path.read_text(encoding="utf-8", errors="replace")


def _written(text: str, out: Path | None) -> int:
    if out is None:
        say(text.rstrip("\n"))
        return 0
    out.write_text(text, encoding="utf-8")
    say(f"wrote {out}; check it anywhere with `rotator audit verify-proof {out}`")
    return 0


def check_proof_file(path: Path, keys: Sequence[str], *, as_json: bool) -> int:
    """`rotator audit verify-proof`."""
    proven = check_proof(_read(path), [VerifierKey.parse(text) for text in keys], str(path))
    if as_json:
        print_json(
            {
                "holds": True,
                "statement": proven.statement,
                "origin": proven.head.origin,
                "size": proven.head.size,
                "key": proven.key,
                "trusted": proven.trusted,
                "event": proven.event,
            }
        )
        return 0
    say(f"the proof holds: {proven.statement}")
    if proven.event is not None:
        for name in _SHOWN:
            if proven.event.get(name) not in (None, ""):
                say(f"  {name:11} {_readable(name, proven.event[name])}")
    say(f"signed by {proven.key}")
    if not proven.trusted:
        say("that key comes from the proof itself: compare it with the one you know, or give --key")
    return 0


def _readable(name: str, value: object) -> object:
    if name == "at" and isinstance(value, int):
        return datetime.fromtimestamp(value / 1_000_000, UTC).isoformat(timespec="microseconds")
    return value


async def print_key() -> int:
    """`rotator audit key`."""
    async with opened() as rotator:
        signer = _signer(rotator)
        async with rotator.store.view() as unit:
            origin = (await unit.log_head()).origin
        for key in signer.public_keys:
            say(str(VerifierKey(origin, key)))
    return 0


def _signer(rotator: Rotator) -> CheckpointSigner:
    if rotator.signer is None:
        raise InputError(
            "no key-encryption key is set, so there is none to sign with",
            where="ROTATOR_KEYS",
            next_step="`rotator init` writes one to .env",
        )
    return rotator.signer


async def sign_now() -> int:
    """`rotator audit checkpoint`. Where nothing has happened since, the newest one is printed."""
    # A target may need the API.
    online = load_settings().checkpoint_target is not None
    async with opened(online=online) as rotator:
        await sign_checkpoint(rotator.parts, _signer(rotator))
        async with rotator.store.view() as unit:
            newest = await unit.newest_checkpoint()
        sent = await publish(
            rotator.store, rotator.sinks(), rotator.parts.actor, rotator.parts.clock.now()
        )
    if newest is None or newest.note is None:
        raise InputError("the log is empty: there is nothing to sign")
    say(newest.note.rstrip("\n"))
    failed = [each for each in sent if each.error is not None]
    for each in failed:
        say(f"not sent to {each.sink}: {each.error}; a daemon tries again")
    return 1 if failed else 0


async def print_checkpoints() -> int:
    """`rotator audit checkpoint --all`."""
    async with opened() as rotator, rotator.store.view() as unit:
        found = await unit.checkpoints()
    for each in found:
        if each.note is not None:
            say(each.note)
    return 0
