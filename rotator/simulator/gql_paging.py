"""Relay connections over a list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from graphql import GraphQLError

from rotator.simulator.model import Json

PAGE_SIZE: Final = 100
T = TypeVar("T")


def refused(message: str, code: str) -> GraphQLError:
    """A refusal with Fly's code for it, which goes out with HTTP status 200."""
    return GraphQLError(message, extensions={"code": code})


def connection(items: Sequence[T], view: Callable[[T], Json], args: dict[str, object]) -> Json:
    """The page of the items that `first`, `after`, `last` and `before` name."""
    begin, end = 0, len(items)
    after, before = args.get("after"), args.get("before")
    if isinstance(after, str) and after:
        begin = _position(after) + 1
    if isinstance(before, str) and before:
        end = min(end, _position(before))
    begin, end = _cut(begin, end, args.get("first"), args.get("last"))
    edges: list[Json] = [
        {"cursor": _cursor(place), "node": view(items[place])} for place in range(begin, end)
    ]
    page_info: Json = {
        "startCursor": _cursor(begin) if edges else None,
        "endCursor": _cursor(end - 1) if edges else None,
        "hasNextPage": end < len(items),
        "hasPreviousPage": begin > 0,
    }
    return {
        "edges": edges,
        "nodes": [edge["node"] for edge in edges],
        "pageInfo": page_info,
        "totalCount": len(items),
    }


def _cut(begin: int, end: int, first: object, last: object) -> tuple[int, int]:
    if isinstance(last, int) and not isinstance(first, int):
        return max(begin, end - min(_size(last), PAGE_SIZE)), end
    size = min(_size(first), PAGE_SIZE) if isinstance(first, int) else PAGE_SIZE
    return begin, max(begin, min(end, begin + size))


def _size(wanted: int) -> int:
    if wanted < 0:
        raise refused("first and last can't be negative", "INVALID_ARGUMENTS")
    return wanted


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(str(place + 1).encode()).decode("ascii").rstrip("=")


def _position(cursor: str) -> int:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return int(base64.urlsafe_b64decode(padded)) - 1
    except (binascii.Error, ValueError):
        raise refused("invalid cursor", "INVALID_ARGUMENTS") from None
