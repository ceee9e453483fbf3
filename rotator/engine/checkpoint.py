"""Sign the audit log's head from time to time, as a checkpoint that anybody can check."""

from __future__ import annotations

import logging
from datetime import datetime

from rotator.domain.events import Action, Event, Outcome
from rotator.domain.merkle import Frontier
from rotator.domain.note import TreeHead, VerifierKey, parse_checkpoint, signed_note
from rotator.domain.ports import Checkpoint, Signer, Store
from rotator.domain.rotation import Actor
from rotator.engine.audit.verify import Verification, verify_log
from rotator.engine.parts import Parts

__all__ = ["Verification", "sign_checkpoint", "sign_head", "verify_log"]
_log = logging.getLogger(__name__)


async def sign_checkpoint(parts: Parts, signer: Signer) -> Checkpoint | None:
    """Sign the present head; see `sign_head`."""
    return await sign_head(parts.store, signer, parts.actor, parts.clock.now())


async def sign_head(store: Store, signer: Signer, actor: Actor, now: datetime) -> Checkpoint | None:
    """Sign the present head, unless nothing but the last signing has happened since.

    The checkpoint goes into the database, and to the log as one line; `engine.audit.publish` takes
    it to where the settings want it.
    """
    async with store.unit() as unit:
        newest = await unit.event_at((await unit.log_head()).size)
        if newest is None or newest.event.action is Action.CHECKPOINT_SIGNED:
            return None
        head = await unit.log_head()
        root = Frontier.unpacked(head.size, head.frontier).root()
        key = VerifierKey(head.origin, signer.public_keys[0])
        note = signed_note(TreeHead(head.origin, head.size, root).text(), key, signer.sign)
        checkpoint = Checkpoint(
            sequence=head.size,
            hash=head.hash,
            signed_at=now,
            key_id=key.id.hex(),
            signature=note.splitlines()[-1].rpartition(" ")[2],
            note=note,
        )
        await unit.save_checkpoint(checkpoint)
        await unit.append(
            Event(
                action=Action.CHECKPOINT_SIGNED,
                outcome=Outcome.OK,
                actor=actor,
                at=now,
                detail={"size": str(head.size), "key_id": checkpoint.key_id, "checkpoint": note},
            )
        )
    _log.info("audit checkpoint signed: %s", one_line(note))
    return checkpoint


def one_line(note: str) -> str:
    """A checkpoint on one line: origin, size, root, and what follows the dash of its signature."""
    head, parsed = parse_checkpoint(note)
    root, signature = note.split("\n")[2], note.splitlines()[-1].rpartition(" ")[2]
    return f"{head.origin} {head.size} {root} {parsed.signatures[0].name} {signature}"
