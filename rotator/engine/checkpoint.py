"""Verify the audit log, and sign its head from time to time."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.domain.events import Action, Damage, Event, Fault, LoggedEvent, Outcome, first_fault
from rotator.domain.ports import Checkpoint, Signer, Store
from rotator.engine.parts import Parts

PAGE = 5_000


@dataclass(frozen=True)
class Verification:
    """What a walk over the whole log found. `fault` is None where it holds."""

    events: int
    head: str | None
    checkpoints: int
    fault: Fault | None


def checkpoint_message(sequence: int, head: str) -> bytes:
    """What a checkpoint's signature is over."""
    return f"rotator audit checkpoint\n{sequence}\n{head}\n".encode()


async def sign_checkpoint(parts: Parts, signer: Signer) -> Checkpoint | None:
    """Sign the present head, unless nothing but the last signing has happened since."""
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        head = await unit.head()
        if head is None or head.event.action is Action.CHECKPOINT_SIGNED:
            return None
        checkpoint = Checkpoint(
            sequence=head.sequence,
            hash=head.hash,
            signed_at=now,
            key_id=signer.key_id,
            signature=signer.sign(checkpoint_message(head.sequence, head.hash)),
        )
        await unit.save_checkpoint(checkpoint)
        await unit.append(
            Event(
                action=Action.CHECKPOINT_SIGNED,
                outcome=Outcome.OK,
                actor=parts.actor,
                at=now,
                detail={
                    "sequence": str(head.sequence),
                    "hash": head.hash,
                    "key_id": signer.key_id,
                    "signature": checkpoint.signature,
                },
            )
        )
    return checkpoint


async def verify_log(store: Store, signer: Signer | None) -> Verification:
    """Walk the log in pages: every hash, every link, every signature that can be checked.

    The log's end is held against the newest checkpoint, so that cut-off rows show.
    """
    last: LoggedEvent | None = None
    fault: Fault | None = None
    async with store.view() as unit:
        checkpoints = {c.sequence: c for c in await unit.checkpoints()}
        while fault is None:
            page = await unit.events_after(last.sequence if last else 0, PAGE)
            if not page:
                break
            fault = first_fault(page, last)
            for logged in page:
                if fault is None and logged.sequence in checkpoints:
                    fault = _checkpoint_fault(logged, checkpoints[logged.sequence], signer)
            last = page[-1]
    count = last.sequence if last else 0
    newest = max(checkpoints, default=0)
    if fault is None and newest > count:
        fault = Fault(
            count + 1,
            Damage.MISSING,
            f"the log ends at {count}, but its head was signed at {newest}: rows were cut off",
        )
    return Verification(count, last.hash if last else None, len(checkpoints), fault)


def _checkpoint_fault(
    logged: LoggedEvent, checkpoint: Checkpoint, signer: Signer | None
) -> Fault | None:
    if checkpoint.hash != logged.hash:
        return Fault(
            logged.sequence,
            Damage.EDITED,
            f"event {logged.sequence} is not the one that was signed on {checkpoint.signed_at}",
        )
    if signer is None or checkpoint.key_id != signer.key_id:
        return None
    message = checkpoint_message(checkpoint.sequence, checkpoint.hash)
    if signer.verify(message, checkpoint.signature):
        return None
    return Fault(
        logged.sequence,
        Damage.EDITED,
        f"the signature of the checkpoint at {logged.sequence} is not ours",
    )
