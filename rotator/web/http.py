"""One HTTP/1.1 request a connection, read within bounds, answered, closed.

h11 parses; what it costs is bounded here, before anything is read. A connection carries one
request: what a client sends behind it, pipelined or smuggled, is never looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

import h11

from rotator.web.limits import Bounds

READ_BYTES: Final = 4096
_SINGLE: Final = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "expect"}
)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Head:
    """What comes before a body. Names of headers are in lowercase; `repeated` ones came more than
    once, and the first of them counts."""

    method: str
    target: str
    headers: Mapping[str, str]
    repeated: frozenset[str]
    peer: str


@dataclass(frozen=True)
class Answered:
    """An answer. `headers` are beside those that every answer has."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(Protocol):
    """What the receiver serves."""

    def source(self, head: Head) -> str:
        """Who sends it, as far as limits go."""
        ...

    async def admit(self, head: Head) -> Answered | None:
        """Refuse a request before its body is read, or None."""
        ...

    async def handle(self, head: Head, body: bytes) -> Answered:
        """Answer a request that was admitted."""
        ...

    async def broken(self, status: int, why: str = "") -> Answered:
        """Answer what is no request, or came too slowly: 4xx and 501. `why` says what is wrong."""
        ...


class Receiver:
    """Listens, and serves each connection in a task of its own, so many at once."""

    def __init__(self, handler: Handler, bounds: Bounds | None = None) -> None:
        self._handler, self._bounds = handler, bounds or Bounds()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._peers: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self.share_peer = False
        """Whether all connections come from one proxy, so that a limit for each makes no sense."""

    async def listen(self, host: str | None, port: int) -> int:
        """Begin, on all addresses of both families without a host; gives the port. Raises OSError
        where it can't be had."""
        self._server = await asyncio.start_server(
            self._connected, host, port, limit=self._bounds.head_bytes, backlog=128
        )
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Take no more, and let what is under way end; its bounds say how long that is."""
        if self._server is not None:
            self._server.close()
        if self._serving:
            bounds = self._bounds
            longest = bounds.read_seconds + bounds.answer_seconds + bounds.write_seconds
            _, late = await asyncio.wait(self._serving, timeout=longest)
            for task in late:
                task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        bounds = self._bounds
        crowded = not self.share_peer and self._peers[peer] >= bounds.connections_a_source
        if crowded or len(self._serving) >= bounds.connections:
            writer.transport.abort()
            return
        self._serving.add(task)
        try:
            with _counted(self._peers, peer):
                await self.serve(reader, writer, peer)
        finally:
            self._serving.discard(task)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        """One connection, to its end. Whatever comes over it, nothing is raised but what stops the
        task itself."""
        try:
            answer = await self._answer(reader, writer, peer)
            if answer is not None:
                await self._write(reader, writer, answer)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(self._bounds.write_seconds):
                    await writer.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> Answered | None:
        reading = _Reading(reader, writer, self._bounds)
        try:
            async with asyncio.timeout(self._bounds.read_seconds):
                head = await reading.head(peer)
                if head is None:
                    return None
                if ambiguous := _ambiguity(head):
                    return await self._handler.broken(HTTPStatus.BAD_REQUEST, ambiguous)
                refused = await self._handler.admit(head)
                if refused is not None:
                    return refused
                source = self._handler.source(head)
                if self._sources[source] >= self._bounds.connections_a_source:
                    return await self._handler.broken(HTTPStatus.TOO_MANY_REQUESTS)
                with _counted(self._sources, source):
                    body = await reading.body(head)
        except h11.RemoteProtocolError as error:
            return await self._handler.broken(error.error_status_hint)
        except _TooLarge:
            return await self._handler.broken(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except TimeoutError:
            return await self._handler.broken(HTTPStatus.REQUEST_TIMEOUT)
        try:
            async with asyncio.timeout(self._bounds.answer_seconds):
                return await self._handler.handle(head, body)
        except TimeoutError:
            return Answered(HTTPStatus.SERVICE_UNAVAILABLE, b'{"error":"it took too long"}')

    async def _write(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answered
    ) -> None:
        """Send it, and read on a little: closing a connection with bytes that nobody has read would
        take the answer away from who sent them."""
        async with asyncio.timeout(self._bounds.write_seconds):
            writer.write(_encoded(answer))
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        left = self._bounds.linger_bytes
        async with asyncio.timeout(self._bounds.linger_seconds):
            while left > 0 and (data := await reader.read(READ_BYTES)):
                left -= len(data)


@contextlib.contextmanager
def _counted(counts: Counter[str], key: str) -> Iterator[None]:
    """Count one more under a key for as long as it lasts; what is at none is forgotten."""
    counts[key] += 1
    try:
        yield
    finally:
        counts[key] -= 1
        if counts[key] <= 0:
            del counts[key]


class _TooLarge(Exception):
    """The body is larger than it may be, by its own word or by what came."""


class _Reading:
    """Reads one request from a stream."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bounds: Bounds
    ) -> None:
        self._reader, self._writer, self._bounds = reader, writer, bounds
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.head_bytes)
        self._came = 0

    async def head(self, peer: str) -> Head | None:
        """The head; None where the client left without a word."""
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            if self._came > self._bounds.head_bytes:
                raise h11.RemoteProtocolError("the head is too long", error_status_hint=431)
            await self._more()
        if not isinstance(event, h11.Request):
            return None
        names = Counter(name.decode("ascii") for name, _ in event.headers)
        headers: dict[str, str] = {}
        for name, value in event.headers:
            headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
        return Head(
            method=event.method.decode("ascii"),
            target=event.target.decode("ascii", "replace"),
            headers=headers,
            repeated=frozenset(name for name, count in names.items() if count > 1),
            peer=peer,
        )

    async def body(self, head: Head) -> bytes:
        """The body, refused unread where it says that it is too large."""
        bounds = self._bounds
        if int(head.headers.get("content-length", "0")) > bounds.body_bytes:
            raise _TooLarge
        if self._parser.they_are_waiting_for_100_continue:
            self._writer.write(_CONTINUE)
            await self._writer.drain()
            self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
        found = bytearray()
        while not isinstance(event := self._parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                # Chunks may come with more around them than is in them.
                if self._came > bounds.head_bytes + 2 * bounds.body_bytes:
                    raise _TooLarge
                await self._more()
            elif isinstance(event, h11.Data):
                found += event.data
                if len(found) > bounds.body_bytes:
                    raise _TooLarge
            else:
                raise h11.RemoteProtocolError("the request was cut off")
        return bytes(found)

    async def _more(self) -> None:
        data = await self._reader.read(READ_BYTES)
        self._came += len(data)
        self._parser.receive_data(data)


def _ambiguity(head: Head) -> str:
    """What two readers of a request could understand differently, or nothing."""
    if "transfer-encoding" in head.headers and "content-length" in head.headers:
        return "both Content-Length and Transfer-Encoding"
    twice = sorted(head.repeated & _SINGLE)
    return f"more than one {twice[0]} header" if twice else ""


def _encoded(answer: Answered) -> bytes:
    phrase = HTTPStatus(answer.status).phrase
    lines: Sequence[str] = (
        f"HTTP/1.1 {int(answer.status)} {phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    )
    return "\r\n".join((*lines, "", "")).encode("ascii") + answer.body
