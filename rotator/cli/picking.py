"""Numbers that a person picks from a list."""

from __future__ import annotations

from collections.abc import Sequence


def chosen_numbers(answer: str, count: int) -> Sequence[int]:
    """`1,3-5`, `all`, or nothing. Each number once, in the order given.

    Raises:
        ValueError: something in it is no number of the list; the text is for the person.
    """
    words = answer.replace(",", " ").split()
    if [word.lower() for word in words] == ["all"]:
        return range(1, count + 1)
    if [word.lower() for word in words] == ["none"]:
        return ()
    found: dict[int, None] = {}
    for word in words:
        first, dash, last = word.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise ValueError(f"{word[:20]!r} is no number of the list")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= count:
            raise ValueError(f"{word[:20]!r} is not between 1 and {count}")
        found |= dict.fromkeys(range(low, high + 1))
    return tuple(found)
