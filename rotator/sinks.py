"""Where checkpoints and events are sent: files, webhooks, targets; the sinks of `engine.audit`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from rotator import __version__
from rotator.domain.credential import TargetSpec
from rotator.domain.errors import InputError, NeedsHuman, OutcomeUnknown, Unavailable
from rotator.domain.ports import Batch, Clock, Target
from rotator.domain.secret import Secret
from rotator.fly.failures import wish

WEBHOOK_SECONDS: Final = 10.0
TARGET_SECONDS: Final = 60.0
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
LEAST_SECRET_BYTES: Final = 24
MOST_SECRET_BYTES: Final = 64
"""Standard Webhooks 1.0.0: a secret has 192 to 512 bits."""


class FileSink:
    """Appends to a file that ought to be on another volume, or be shipped elsewhere."""

    name = "file"
    newest_only = False

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, note: str) -> None:
        """Append, and see it on the disk."""
        await append(self._path, f"{note}\n".encode(), 0o644)


class EventFileSink:
    """Appends events as JSON lines. The path is opened anew for each batch, so that the file can
    be moved away at any time."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, batch: Batch) -> None:
        """Append, and see it on the disk."""
        lines = "".join(f"{line}\n" for line in batch.lines)
        await append(self._path, lines.encode(), 0o600)


async def append(path: Path, data: bytes, mode: int) -> None:
    """Put bytes at the end of a file, all of them or none."""
    try:
        await asyncio.to_thread(_append, path, data, mode)
    except OSError as error:
        raise Unavailable(f"{path} can't be written ({error.strerror})") from None


def _append(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        end = os.fstat(fd).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(fd, data[written:])
            os.fsync(fd)
        except OSError:
            # A full disk takes a part; half a line would spoil the next one.
            os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)


class WebhookSink:
    """Posts the checkpoint as plain text. The URL may hold a token, so it is never shown."""

    name = "webhook"
    newest_only = False

    def __init__(self, url: Secret, clock: Clock) -> None:
        self._url = url
        self._clock = clock

    async def send(self, note: str) -> None:
        """Post it; any answer of 2xx counts."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        await post(self._url, note.encode(), headers, self._clock, "ROTATOR_CHECKPOINT_WEBHOOK")


class TargetSink:
    """Keeps the newest checkpoint in a target, such as an app secret that a witness reads, or what
    a plug-in delivers to. It is seen to stand there: somebody else's change of it is told."""

    name = "target"
    newest_only = True

    def __init__(self, target: Target, spec: TargetSpec) -> None:
        self._target = target
        self._spec = spec

    async def send(self, note: str) -> None:
        """Write it and see that the target shows it."""
        try:
            async with asyncio.timeout(TARGET_SECONDS):
                receipt = await self._target.deliver(self._spec, Secret.of_public(note))
                await self._target.confirm(self._spec, receipt)
        except TimeoutError:
            raise OutcomeUnknown(f"{self._spec.key} did not answer") from None


class EventWebhookSink:
    """Posts events as JSON, signed as Standard Webhooks 1.0.0 says (HMAC-SHA256, `v1`)."""

    name = "webhook"

    def __init__(self, url: Secret, keys: Sequence[Secret], clock: Clock) -> None:
        self._url = url
        self._keys = keys
        self._clock = clock

    async def send(self, batch: Batch) -> None:
        """Post them; any answer of 2xx counts."""
        at = self._clock.now()
        head = f'{{"type":"audit.events","timestamp":"{at.isoformat()}","data":{{"events":['
        body = f"{head}{','.join(batch.lines)}]}}}}".encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": batch.id,
            "webhook-timestamp": str(int(at.timestamp())),
        }
        signed = f"{batch.id}.{headers['webhook-timestamp']}.".encode() + body
        headers["webhook-signature"] = " ".join(_signature(key, signed) for key in self._keys)
        await post(self._url, body, headers, self._clock, "ROTATOR_EVENTS_WEBHOOK")


def _signature(key: Secret, data: bytes) -> str:
    made = hmac.digest(secret_bytes(key), data, hashlib.sha256)
    return f"v1,{base64.b64encode(made).decode()}"


def secret_bytes(key: Secret) -> bytes:
    """The bytes of a signing secret, with or without its prefix.

    Raises:
        InputError: it is not base64, too short or too long.
    """
    where = "ROTATOR_EVENTS_WEBHOOK_SECRET"
    how = "make one: echo whsec_$(openssl rand -base64 32)"
    try:
        found = base64.b64decode(key.reveal().removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise InputError("not base64", where=where, next_step=how) from None
    if not LEAST_SECRET_BYTES <= len(found) <= MOST_SECRET_BYTES:
        told = f"has {len(found)} bytes instead of {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES}"
        raise InputError(told, where=where, next_step=how)
    return found


async def post(
    url: Secret, body: bytes, headers: Mapping[str, str], clock: Clock, where: str
) -> None:
    """Post within a bound of time; any answer of 2xx counts. Redirects are not followed."""
    try:
        async with (
            asyncio.timeout(WEBHOOK_SECONDS),
            httpx.AsyncClient(timeout=WEBHOOK_SECONDS, follow_redirects=False) as client,
        ):
            told = {"User-Agent": f"rotator/{__version__}", **headers}
            answer = await client.post(url.reveal(), content=body, headers=told)
    except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise Unavailable(f"the webhook can't be reached ({type(error).__name__})") from None
    except (httpx.HTTPError, TimeoutError) as error:
        raise OutcomeUnknown(f"the webhook did not answer ({type(error).__name__})") from None
    except httpx.InvalidURL:
        raise InputError("not a URL", where=where) from None
    if answer.is_success:
        return
    told_code = f"the webhook answered {answer.status_code}"
    seconds = wish(answer, clock.now())
    if seconds is not None:
        raise Unavailable(told_code, after_seconds=seconds)
    raise NeedsHuman(told_code)
