"""One process of rotator: it can die or stand still at any await, and its clock may be wrong.

A request that was sent has its effect whoever waits for it; a transaction that was not committed
has none. The seams are where a process meets the outside: store, network and clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from starlette.responses import Response

from rotator.domain.errors import OutcomeUnknown, Unavailable
from rotator.domain.events import Action, Event
from rotator.domain.ports import Store
from rotator.simulator.gateway import Asked
from tests.simulation.network import Network
from tests.simulation.virtual_time import BEGIN, VirtualLoop

Write = tuple[str, tuple[Any, ...], Any]


@dataclass(frozen=True)
class Working:
    """The step in whose name something is done."""

    rotation_id: str
    step: str
    subject: str


STEP: ContextVar[Working | None] = ContextVar("step", default=None)
BAD = 400
"""The first status of an answer that says that something went wrong."""
ENDS = frozenset({Action.STEP_DONE, Action.STEP_WAITING, Action.STEP_FAILED})


class WrongClock:
    """A process's clock: virtual time, and how far it is off."""

    def __init__(self, loop: VirtualLoop, process: Process) -> None:
        self._loop, self._process = loop, process
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The present, as this process believes."""
        return BEGIN + timedelta(seconds=self._loop.elapsed_seconds) + self.offset

    async def sleep(self, seconds: float) -> None:
        """Wait; a process that stands still oversleeps."""
        await asyncio.sleep(seconds)
        await self._process.gate()


@dataclass
class Process:
    """Whether a process lives, and whether it moves. `who` is the worker that it plays."""

    name: str
    who: int
    loop: VirtualLoop
    dead: bool = False
    main: asyncio.Task[None] | None = None
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clock = WrongClock(self.loop, self)
        self._moves = asyncio.Event()
        self._moves.set()

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return not self._moves.is_set()

    async def gate(self) -> None:
        """Where the dead stop for good, and the frozen until they thaw."""
        if self.dead:
            raise asyncio.CancelledError
        while not self._moves.is_set():
            await self._moves.wait()
            if self.dead:
                raise asyncio.CancelledError

    def kill(self) -> None:
        """End it here and now."""
        self.dead = True
        self._moves.set()
        if self.main is not None:
            self.main.cancel()

    def freeze(self, seconds: float) -> None:
        """Let it stand still for a while."""
        self._moves.clear()
        self.loop.call_later(seconds, self._moves.set)


class Hooks:
    """What a world is told of a process, and what it may do to it at these moments."""

    def sending(self, process: Process, asked: Asked, working: Working | None) -> None:
        """A request is about to be sent."""

    def around(
        self,
        process: Process,
        asked: Asked,
        headers: Mapping[str, str],
        working: Working | None,
    ) -> Callable[[Response], None]:
        """A request is about to have its effect; what is given is told of the answer."""
        return lambda _: None

    def arrived(self, process: Process, asked: Asked, working: Working | None) -> None:
        """An answer has come back."""

    def lost(self, process: Process, asked: Asked, working: Working | None) -> None:
        """Fly did what it was asked to, and the process was not told so."""

    def transaction(self, process: Process) -> str | None:
        """A transaction for writing begins: the fault that it meets."""
        return None

    def committing(self, process: Process, writes: list[Write]) -> str | None:
        """It is about to be committed: another fault that it meets."""
        return None

    def committed(self, process: Process, writes: list[Write]) -> None:
        """It is committed."""

    def after_commit(self, process: Process, writes: list[Write]) -> None:
        """The process knows."""


class ProcessNetwork:
    """The network of one process."""

    def __init__(self, network: Network, process: Process, hooks: Hooks) -> None:
        self._network, self._process, self._hooks = network, process, hooks

    async def send(self, asked: Asked, headers: Mapping[str, str]) -> Response:
        """Send a request; it goes on in the world when this process dies or gives up."""
        process, hooks, working = self._process, self._hooks, STEP.get()
        await process.gate()
        hooks.sending(process, asked, working)
        await process.gate()

        fates: list[int] = []

        def around() -> Callable[[Response], None]:
            told = hooks.around(process, asked, headers, working)

            def served(response: Response) -> None:
                fates.append(response.status_code)
                told(response)

            return served

        task = asyncio.create_task(self._network.carry(asked, headers, around))
        process.under_way.add(task)
        task.add_done_callback(self._done)
        try:
            response = await asyncio.shield(task)
        except httpx.TransportError:
            if fates and fates[0] < BAD:
                hooks.lost(process, asked, working)
            raise
        if fates and fates[0] < BAD <= response.status_code:
            hooks.lost(process, asked, working)
        hooks.arrived(process, asked, working)
        await process.gate()
        return response

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._process.under_way.discard(task)
        if not task.cancelled():
            task.exception()


class ProcessStore:
    """The database as one process sees it."""

    name = "simulated"

    def __init__(
        self, inner: Store, process: Process, hooks: Hooks, turn: asyncio.Lock | None
    ) -> None:
        self._inner, self._process, self._hooks, self._turn = inner, process, hooks, turn

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Recorder]:
        """A transaction for writing; the dead commit nothing."""
        process, hooks = self._process, self._hooks
        await process.gate()
        fault = hooks.transaction(process)
        if fault == "locked":
            raise Unavailable("the database is locked by another process")
        async with _taking_turns(self._turn), self._inner.unit() as unit:
            recorder = Recorder(unit)
            yield recorder
            fault = hooks.committing(process, recorder.writes) or fault
            await process.gate()
            if fault == "full":
                raise Unavailable("the database has no space left")
            if fault == "lost_before":
                raise OutcomeUnknown("the connection was lost during a commit")
        if recorder.writes:
            hooks.committed(process, recorder.writes)
        if fault == "lost_after":
            raise OutcomeUnknown("the connection was lost during a commit")
        _note_step(recorder.writes)
        hooks.after_commit(process, recorder.writes)
        await process.gate()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Any]:
        """A transaction for reading."""
        await self._process.gate()
        async with _taking_turns(self._turn), self._inner.view() as unit:
            yield unit
        await self._process.gate()


@asynccontextmanager
async def _taking_turns(turn: asyncio.Lock | None) -> AsyncIterator[None]:
    if turn is None:
        yield
        return
    async with turn:
        yield


def _note_step(writes: list[Write]) -> None:
    """Whoever has committed an intent works in its name until the outcome."""
    for event in events_in(writes):
        if event.action is Action.STEP_INTENDED:
            target = event.target or event.app or ""
            STEP.set(Working(event.rotation_id or "", event.detail.get("step", ""), target))
        elif event.action in ENDS:
            STEP.set(None)


def events_in(writes: list[Write]) -> list[Event]:
    """The events that a transaction appends."""
    return [event for name, args, _ in writes if name == "append" for event in args]


WRITES = frozenset(
    {
        "save_credential", "save_version", "seal", "erase", "add_rotation", "save_rotation",
        "reopen_rotation", "request_abort", "claim", "renew", "release", "add_steps", "save_step",
        "save_rollout", "wish_rollout", "resume_rollout", "link_rollout", "save_machine_restart",
        "lock_app", "renew_app_lock", "unlock_app", "save_target_watch", "save_taint", "append",
    }
)  # fmt: skip


class Recorder:
    """A unit that notes what is written in it."""

    __slots__ = ("_unit", "writes")

    def __init__(self, unit: Any) -> None:
        self._unit = unit
        self.writes: list[Write] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._unit, name)
        if name not in WRITES:
            return method

        async def recorded(*args: Any, **given: Any) -> Any:
            result = await method(*args, **given)
            self.writes.append((name, args, result))
            return result

        return recorded
