"""A sender of webhooks: signs as each format wants it, and speaks HTTP byte by byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.web.http import Receiver

TEXT_SECRET = "a secret of sixteen bytes and more"
OTHER_SECRET = "another secret of the next season"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def mac(secret: str, data: bytes) -> bytes:
    """HMAC-SHA256 with a text as the key, or with what a `whsec_` secret encodes."""
    known = secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_")) if known else secret.encode()
    return hmac.digest(key, data, hashlib.sha256)


def github(
    body: bytes,
    *,
    secret: str = TEXT_SECRET,
    event: str = "secret_scanning_alert",
    delivery: str = DELIVERY,
) -> dict[str, str]:
    """The headers that GitHub sends."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={mac(secret, body).hex()}",
    }


def standard(
    body: bytes, at: datetime, *, secret: str = STANDARD_SECRET, sent_id: str = "msg_1"
) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    stamp = str(int(at.timestamp()))
    signature = base64.b64encode(mac(secret, f"{sent_id}.{stamp}.".encode() + body)).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": sent_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


def fly(body: bytes, *, secret: str = TEXT_SECRET) -> dict[str, str]:
    """The headers of a sender that signs as `x-fly-signature`."""
    return {"Content-Type": "application/json", "x-fly-signature": mac(secret, body).hex()}


def github_alert(
    number: int = 42, *, action: str = "created", secret: str | None = None, bypassed: bool = False
) -> bytes:
    """The body of a secret scanning alert; GitHub leaves `secret` out."""
    alert: dict[str, object] = {
        "number": number,
        "secret_type": "flyio_access_token",
        "secret_type_display_name": "Fly.io Access Token",
        "push_protection_bypassed": bypassed,
        "html_url": f"https://github.com/acme/web/security/secret-scanning/{number}",
    }
    if secret is not None:
        alert["secret"] = secret
    data = {"action": action, "alert": alert, "repository": {"full_name": "acme/web"}}
    return json.dumps(data | {"sender": {"login": "octocat"}}).encode()


def request(
    body: bytes, headers: Mapping[str, str], *, path: str = "/hooks/github", method: str = "POST"
) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: rotator.example", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 where the connection was closed without a word."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


def parsed(data: bytes) -> Reply:
    """Read one answer and nothing behind it."""
    if not data:
        return Reply(0, "", b"")
    while data.startswith(b"HTTP/1.1 100 "):
        data = data.partition(b"\r\n\r\n")[2]
    head, _, body = data.partition(b"\r\n\r\n")
    return Reply(int(head.split(b" ", 2)[1]), head.decode(), body)


async def exchange(
    receiver: Receiver,
    *pieces: bytes,
    pause_seconds: float = 0.0,
    peer: str = "203.0.113.7",
    hang_up: bool = True,
) -> Reply:
    """Send pieces over one connection, with a pause after each, and read until it is closed."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    served = asyncio.create_task(receiver.serve(*await asyncio.open_connection(sock=theirs), peer))
    received = asyncio.create_task(_everything(reader))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause_seconds:
                await asyncio.sleep(pause_seconds)
        if hang_up:
            writer.write_eof()
    except ConnectionError:
        pass
    data = await received
    writer.close()
    await served
    return parsed(data)


async def _everything(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
