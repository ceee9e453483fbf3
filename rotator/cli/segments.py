"""Verify one segment in a process of its own. Imports little: each process begins with it."""

from __future__ import annotations

import asyncio
import gc

from rotator.engine.audit.segment import Segment, Walked, walk_segment
from rotator.store.store import SqlStore
from rotator.system import SystemClock


def walk(url: str, segment: Segment) -> Walked:
    """One segment. Nothing in a page of rows refers to itself, so nothing is left to the collector
    of cycles, which would look through every row."""

    async def walked() -> Walked:
        store = SqlStore(url, None, SystemClock())
        try:
            return await walk_segment(store, segment)
        finally:
            await store.aclose()

    gc.disable()
    try:
        return asyncio.run(walked())
    finally:
        gc.enable()
