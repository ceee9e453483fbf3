"""Structured concurrency with plain errors instead of exception groups."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from rotator.domain.errors import ClaimLost, RotatorError

T = TypeVar("T")


async def together(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run the jobs side by side and give their results in order.

    The first error cancels the others and is raised itself, `ClaimLost` before any other.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as errors:
        raise _worst(errors) from None
    return [task.result() for task in tasks]


async def each_to_its_end(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run the jobs side by side and give their results in order. Where one fails, its neighbours
    still end what they are at: a call of theirs may be on the wire. Then the first error is raised;
    only `ClaimLost` cuts the others short."""

    async def one(job: Coroutine[Any, Any, T]) -> T | RotatorError:
        try:
            return await job
        except ClaimLost:
            raise
        except RotatorError as error:
            return error

    results: list[T] = []
    errors: list[RotatorError] = []
    for result in await together([one(job) for job in jobs]):
        if isinstance(result, RotatorError):
            errors.append(result)
        else:
            results.append(result)
    if errors:
        raise errors[0]
    return results


def _worst(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(_worst(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((error for error in flat if isinstance(error, ClaimLost)), flat[0])
