"""Where checkpoints are sent: a file, a webhook. Implements `engine.audit.publish.Sink`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import httpx

from rotator.domain.errors import InputError, NeedsHuman, OutcomeUnknown, Unavailable
from rotator.domain.secret import Secret

WEBHOOK_SECONDS: Final = 10.0


class FileSink:
    """Appends to a file that ought to be on another volume, or be shipped elsewhere."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, note: str) -> None:
        """Append, and see it on the disk."""
        try:
            await asyncio.to_thread(self._append, note)
        except OSError as error:
            raise Unavailable(f"{self._path} can't be written ({error.strerror})") from None

    def _append(self, note: str) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, f"{note}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)


class WebhookSink:
    """Posts the checkpoint as plain text. The URL may hold a token, so it is never shown."""

    name = "webhook"

    def __init__(self, url: Secret) -> None:
        self._url = url

    async def send(self, note: str) -> None:
        """Post it; any answer of 2xx counts."""
        try:
            async with (
                asyncio.timeout(WEBHOOK_SECONDS),
                httpx.AsyncClient(timeout=WEBHOOK_SECONDS, follow_redirects=False) as client,
            ):
                answer = await client.post(
                    self._url.reveal(),
                    content=note.encode(),
                    headers={"Content-Type": "text/plain; charset=utf-8"},
                )
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            raise Unavailable(f"the webhook can't be reached ({type(error).__name__})") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise OutcomeUnknown(f"the webhook did not answer ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise InputError("not a URL", where="ROTATOR_CHECKPOINT_WEBHOOK") from None
        if not answer.is_success:
            raise NeedsHuman(f"the webhook answered {answer.status_code}")
