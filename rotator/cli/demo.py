"""`rotator demo`: the main job from end to end against a simulator in a process of its own.

Nothing is scripted: the daemon finds what is due by itself, what is shown comes from the database
while it works, and in the end from what the simulator saw.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from rotator.cli.auditing import events_table, verification_lines
from rotator.cli.demo_report import REQUESTS_PER_SECOND, Load, Seen
from rotator.cli.failures import FAILED
from rotator.cli.history import rotations_table
from rotator.cli.listing import inventory, inventory_table
from rotator.cli.progress import follow
from rotator.cli.record import show_record
from rotator.cli.rollout_view import read_rollout
from rotator.cli.snapshot import Snapshot
from rotator.cli.text import clock_time, say, show
from rotator.domain.errors import NeedsHuman, Unavailable
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import ENDED, RotationState
from rotator.engine.checkpoint import verify_log
from rotator.engine.jobs import reconcile_all
from rotator.logs import configure_logs
from rotator.manifest.sample import simulated_manifest
from rotator.settings import LogFormat, Settings, load_settings
from rotator.store import schema
from rotator.store.sealing import new_key
from rotator.system import SystemEntropy, user_actor, worker_name
from rotator.wiring import Rotator, open_rotator

OVERLAP: Final = "4s"
SPEED: Final = 2.0
START_SECONDS: Final = 20.0
WORK_SECONDS: Final = 120.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1


async def run_demo(keep: Path | None, seed: int) -> int:
    """Run the demonstration; 0 if everything was rotated, nothing was refused and the log holds."""
    with tempfile.TemporaryDirectory(prefix="rotator-demo-") as temporary:
        folder = (keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return await _demonstrate(folder, seed)


async def _demonstrate(folder: Path, seed: int) -> int:
    configure_logs(LogFormat.CONSOLE, "error")
    async with AsyncExitStack() as stack:
        base, token = await stack.enter_async_context(_simulator(folder, seed))
        environment = _environment(folder, base, token)
        settings = _settings(environment)
        await schema.upgrade(settings.database_url)
        rotator = await stack.enter_async_context(
            open_rotator(settings, actor=user_actor(), worker_id=f"demo-{worker_name()}")
        )
        simulator = await stack.enter_async_context(httpx.AsyncClient(base_url=base))
        load = Load(simulator)
        await _before(rotator, Seen(await load.state()))
        async with load.watched(), _daemon(folder, environment):
            last = await _rotations(rotator, folder)
        await _after(rotator, last, Seen(await load.state()), await load.log())
        return await _verdict(rotator, last, load)


async def _before(rotator: Rotator, seen: Seen) -> None:
    _title("A simulated organisation")
    show(seen.apps_table())
    await rotator.sync()
    await reconcile_all(rotator.parts)
    _title("Inventory before: what stands there was adopted, and is due")
    show(inventory_table(await inventory(rotator.store), rotator.parts.clock.now()))


async def _rotations(rotator: Rotator, folder: Path) -> Snapshot:
    """Wait for the daemon to find what is due, then show it at work until all have ended."""
    _title("The daemon at work")
    names = {spec.name for spec in rotator.manifest().specs}
    try:
        async with asyncio.timeout(WORK_SECONDS):
            ids = await _found(rotator, len(names))
            return await follow(
                rotator.store,
                rotator.parts.clock,
                ids,
                rotator.parts.stopping,
                until=lambda view, _: view.rotation.state in ENDED,
            )
    except TimeoutError:
        raise NeedsHuman(
            f"the rotations did not end within {WORK_SECONDS:.0f} s",
            next_step=f"read {folder}/daemon.log; `rotator demo --keep DIR` keeps it",
        ) from None


async def _found(rotator: Rotator, count: int) -> Sequence[str]:
    while True:
        async with rotator.store.view() as unit:
            rotations = await unit.rotations()
        if len(rotations) >= count:
            return [rotation.id for rotation in reversed(rotations)]
        await rotator.parts.clock.sleep(POLL_SECONDS)


async def _after(
    rotator: Rotator, last: Snapshot, seen: Seen, requests: Sequence[Mapping[str, object]]
) -> None:
    now = rotator.parts.clock.now()
    _title("Inventory after")
    show(inventory_table(await inventory(rotator.store), now))
    _title("Rotations")
    show(rotations_table([view.rotation for view in last.rotations]))
    async with rotator.store.view() as unit:
        for rollout in reversed(await unit.rollouts()):
            view = await read_rollout(unit, rollout, now)
            _title(f"The record of the rollout of {rollout.app}")
            show_record(view, now)
        events = await unit.events(EventQuery(limit=1000))
    _title("The audit trail")
    show(events_table(list(reversed(events))))
    _title("What the simulator saw")
    show(seen.machines_table(), seen.credentials_table())
    say(f"{len(requests)} API requests, {seen.refused(requests)} of them refused by a rate limit")


async def _verdict(rotator: Rotator, last: Snapshot, load: Load) -> int:
    _title("Verified")
    verification = await verify_log(rotator.store, rotator.signer)
    for line in verification_lines(verification):
        say(line)
    say(f"requests to the apps while this went on, {REQUESTS_PER_SECOND} a second each, through")
    say("a proxy that sends them to machines that are started, not cordoned and healthy:")
    show(load.requests_table())
    failed = sum(tally.failed for tally in load.tallies.values())
    say(f"{sum(tally.requests for tally in load.tallies.values())} requests, {failed} failed")
    say(
        f"the simulated consumers used their values {load.uses} times while this went on; "
        f"{load.refusals} were refused"
    )
    done = [v for v in last.rotations if v.rotation.state is RotationState.SUCCEEDED]
    say(f"{len(done)} of {len(last.rotations)} rotations succeeded at {clock_time(last.at)}Z")
    whole = verification.fault is None and load.unharmed
    return 0 if whole and len(done) == len(last.rotations) else FAILED


def _title(text: str) -> None:
    say()
    say(text)
    say("=" * len(text))


def _environment(folder: Path, base: str, token: str) -> dict[str, str]:
    """The settings of the demonstration, as a user would put them into the environment."""
    manifest = folder / "rotator.toml"
    manifest.write_text(simulated_manifest(folder, overlap=OVERLAP), encoding="utf-8")
    return {
        "ROTATOR_DATABASE_URL": f"sqlite:///{folder / 'rotator.db'}",
        "ROTATOR_MACHINES_API_URL": base,
        "ROTATOR_GRAPHQL_API_URL": base,
        "ROTATOR_FLY_API_TOKEN": token,
        "ROTATOR_KEYS": new_key(SystemEntropy().token_bytes),
        "ROTATOR_MANIFEST": str(manifest),
        "ROTATOR_TICK_SECONDS": "0.5",
        "ROTATOR_LOG_FORMAT": "json",
        "ROTATOR_CERTIFICATE_HANDSHAKE": "off",
    }


def _settings(environment: Mapping[str, str]) -> Settings:
    """The same settings for this process, whatever its own environment says."""
    own = {
        key.removeprefix("ROTATOR_").lower(): value
        for key, value in environment.items()
        if key.startswith("ROTATOR_")
    }
    return load_settings(_env_file=None, **own)


@asynccontextmanager
async def _simulator(folder: Path, seed: int) -> AsyncIterator[tuple[str, str]]:
    """A simulator in a process of its own: its base URL and the API token."""
    port_file, token_file = folder / "simulator.port", folder / "simulator.token"
    for left in (port_file, token_file):
        left.unlink(missing_ok=True)
    arguments = ["simulate", "--port", "0", "--seed", str(seed), "--speed", str(SPEED)]
    arguments += ["--port-file", str(port_file), "--token-file", str(token_file)]
    async with _process(arguments, folder / "simulator.log", {}) as process:
        port = await _content(port_file, process)
        base = f"http://127.0.0.1:{port}"
        await _answers(base, process)
        yield base, token_file.read_text(encoding="utf-8").strip()
    token_file.unlink(missing_ok=True)


@asynccontextmanager
async def _daemon(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[None]:
    async with _process(["run"], folder / "daemon.log", environment):
        yield


@asynccontextmanager
async def _process(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `rotator` process that ends with the block."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rotator",
            *arguments,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=log.parent,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _content(path: Path, process: asyncio.subprocess.Process) -> str:
    """A file's first line, once it is there."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                if text := _text(path):
                    return text
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pass
    raise Unavailable(
        "the simulator did not start",
        next_step="`rotator simulate` shows why; it needs rotator[simulator]",
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


async def _answers(base: str, process: asyncio.subprocess.Process) -> None:
    """Wait until the simulator takes requests."""
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while process.returncode is None:
            try:
                await client.get(f"{base}/_simulator/state")
            except httpx.TransportError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            return
    raise Unavailable("the simulator ended before it answered")
