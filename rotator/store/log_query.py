"""Filters over the audit log that find their first page by index, however many events there are.

A filter is walked from its newest event backwards along an index of (column, sequence). Comparing
the pair instead of the column alone, and ordering by the pair, leaves PostgreSQL's planner no other
way: it can't choose to walk the whole log in the hope of finding matches soon, nor to sort them
all. SQLite is told the index by its name.
Filters that several values fit (a family of actions, the beginning of a name) walk each value's
own, and the newest of them all are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from rotator.domain.event_words import Term, has_terms, split_terms, words_of
from rotator.domain.events import Action, LoggedEvent
from rotator.domain.ports import EventQuery
from rotator.store.base import UnitBase
from rotator.store.log import BLOCK
from rotator.store.log_read import ROWS, read_event
from rotator.store.tables import event_actors, event_spans, events

MOST_VALUES: Final = 64
"""A filter that more values fit is dense enough to be found by walking the log itself."""
COUNT_AT_MOST: Final = 300
"""How far is counted to see which of several filters leaves the fewest events."""
NUMBERS_AT_MOST: Final = 1000
"""How many events a statement asks for by number."""
NARROW: Final = 2048
"""So few events are gone through one by one: PostgreSQL does not stop at the lower of two bounds
in a pair, and would go on to the oldest event of a value."""
PAGE_READ: Final = 100
PAGES_READ: Final = 10
"""How many events are read and looked through for words that are frequent."""
NEAR: Final = 2000
"""How many of the newest events are searched for words one by one before the index is asked."""
END: Final = 2**62
EXACT: Final = (
    "app",
    "kind",
    "credential",
    "organization",
    "target",
    "machine",
    "actor_host",
    "actor_uid",
    "actor_machine",
    "actor_region",
    "outcome",
    "rotation_id",
    "rollout_id",
    "request_id",
)
_INDEXES: Final = {index.columns[0].name: index.name for index in events.indexes}
_BY_NUMBER: Final = text(f"{ROWS} WHERE sequence IN :numbers ORDER BY sequence DESC").bindparams(
    bindparam("numbers", expanding=True)
)


@dataclass(frozen=True)
class _Filter:
    """One condition: the values of indexed columns that fit it, and how to test a row for it.
    `exact` says that a row of one of the values needs no test."""

    values: tuple[tuple[str, str | int], ...]
    test: ColumnElement[bool]
    by_index: bool = True
    exact: bool = True


@dataclass(frozen=True)
class _Search:
    """A query made ready: conditions, bounds of the sequence (both left out), tests of times. A
    `narrow` one has so few events that they are gone through whatever the conditions are."""

    filters: list[_Filter]
    low: int
    high: int
    times: list[ColumnElement[bool]] = field(default_factory=list)
    narrow: bool = False


class LogQueryUnit(UnitBase):
    """The part of a unit that answers filters."""

    async def events(self, query: EventQuery) -> Sequence[LoggedEvent]:
        """Newest first."""
        terms = split_terms(query.text or "")
        numbers: list[int] = []
        for search in await self._prepared(query):
            left = query.limit - len(numbers)
            if left > 0 and terms:
                numbers += await self._by_words(search, terms, left)
            elif left > 0:
                numbers += await self._by_columns(search, left)
        if not numbers:
            return []
        return [read_event(tuple(row)) for row in await self._by_number(numbers)]

    async def _by_number(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Rows by their numbers, in parts that a statement can hold."""
        rows: list[Any] = []
        for start in range(0, len(numbers), NUMBERS_AT_MOST):
            part = list(numbers[start : start + NUMBERS_AT_MOST])
            rows += (await self._connection.execute(_BY_NUMBER, {"numbers": part})).all()
        return rows

    async def _prepared(self, query: EventQuery) -> Sequence[_Search]:
        """The searches that a query is made of, the newest events first."""
        filters = [
            _equal(column, value)
            for column in EXACT
            if (value := getattr(query, column)) is not None
        ]
        if query.action is not None:
            filters.append(_family(query.action))
        if query.actor is not None:
            filters.append(await self._actor(query.actor))
        low, high = query.after or 0, query.before or END
        times: list[ColumnElement[bool]] = []
        if query.since is None and query.until is None:
            return (_Search(filters, low, high, times),)
        spans = event_spans.c
        full = await self._connection.scalar(select(func.max(spans.block)))
        behind = 0 if full is None else (full + 1) * BLOCK
        if query.since is not None:
            times.append(events.c.at >= query.since)
            block = select(func.min(spans.block)).where(spans.last_at >= query.since)
            low = max(low, await self._end_of_block(block, before=True))
        if query.until is None or full is None:
            if query.until is not None:
                times.append(events.c.at < query.until)
            return (_Search(filters, low, high, times, narrow=behind - low <= NARROW),)
        times.append(events.c.at < query.until)
        block = select(func.max(spans.block)).where(spans.first_at < query.until)
        high_of_older = min(high, await self._end_of_block(block, before=False) + 1)
        narrow = high_of_older - low <= NARROW
        # The block that is not full yet has no record of its times.
        open_block = _Search(filters, max(low, behind), high, times, narrow=True)
        return open_block, _Search(filters, low, high_of_older, times, narrow=narrow)

    async def _end_of_block(self, block: Select[Any], *, before: bool) -> int:
        """The last number of the block that was found, or of the one before it. Without one it is
        the last of all full blocks (nothing there is new enough) or 0 (nothing is old enough)."""
        found = await self._connection.scalar(block)
        if found is not None:
            return int(found + (0 if before else 1)) * BLOCK
        if not before:
            return 0
        full = await self._connection.scalar(select(func.max(event_spans.c.block)))
        return 0 if full is None else int(full + 1) * BLOCK

    async def _actor(self, wanted: str) -> _Filter:
        """A kind of actor, the beginning of a name, or `kind:` and the beginning of a name. A name
        may hold a colon itself, so the whole text counts as the beginning of a name too."""
        kind, colon, name = wanted.partition(":")
        names = event_actors.c.name
        fits = names.startswith(wanted, autoescape=True)
        test = _bare("actor_name").startswith(wanted, autoescape=True)
        values: list[tuple[str, str | int]] = []
        if colon:
            # A name may belong to two kinds of actors, so that its events have to be tested.
            begins = names.startswith(name, autoescape=True)
            fits = or_(fits, and_(event_actors.c.kind == kind, begins))
            of_kind = _bare("actor_name").startswith(name, autoescape=True)
            test = or_(test, and_(_bare("actor_kind") == kind, of_kind))
        else:
            values.append(("actor_kind", kind))
            test = or_(test, _bare("actor_kind") == kind)
        found = await self._rows(select(names).where(fits).distinct().limit(MOST_VALUES + 1))
        values += [("actor_name", row.name) for row in found]
        return _Filter(tuple(values), test, len(values) <= MOST_VALUES, exact=not colon)

    async def _by_columns(self, search: _Search, limit: int) -> Sequence[int]:
        if any(not each.values for each in search.filters):
            return ()
        driver = await self._driver(search)
        others = [f.test for f in search.filters if f is not driver] + search.times
        if driver is None:
            number = events.c.sequence
            query = select(number).where(number > search.low, number < search.high, *others)
            return [row[0] for row in await self._rows(query.order_by(number.desc()).limit(limit))]
        tests = others if driver.exact else [*others, driver.test]
        branches = [
            _walk(column, value, search, tests, postgres=self._postgres).limit(limit).subquery()
            for column, value in driver.values
        ]
        found = await self._rows(union_all(*(select(b.c.sequence) for b in branches)))  # type: ignore[arg-type]
        return sorted({row[0] for row in found}, reverse=True)[:limit]

    async def _driver(self, search: _Search) -> _Filter | None:
        """The condition whose index is walked: the one that leaves the fewest events."""
        able = [each for each in search.filters if each.by_index and not search.narrow]
        if len(able) < 2:
            return able[0] if able else None
        counts = [sum([await self._count(v, search) for v in each.values]) for each in able]
        return able[counts.index(min(counts))]

    async def _count(self, value: tuple[str, str | int], search: _Search) -> int:
        walked = _walk(*value, search, (), postgres=self._postgres).limit(COUNT_AT_MOST).subquery()
        return int((await self._connection.scalar(select(func.count()).select_from(walked))) or 0)

    async def _by_words(self, search: _Search, terms: Sequence[Term], limit: int) -> Sequence[int]:
        """Words that many events have are tested along the walk of another filter; where there is
        none, or the words are rarer, the search index is asked."""
        match = _match(terms, postgres=self._postgres)
        if search.narrow:
            tests = [*search.times, self._has_words(match)]
            return await self._by_columns(replace(search, times=tests), limit)
        if search.filters:
            alone = replace(search, filters=[], times=[])
            if len(await self._hits(alone, match, COUNT_AT_MOST)) == COUNT_AT_MOST:
                near, search = await self._read_for_words(search, terms, limit)
                if len(near) == limit or search.high <= search.low + 1:
                    return near
                tests = [*search.times, self._has_words(match)]
                found = await self._by_columns(replace(search, times=tests), limit - len(near))
                return [*near, *found]
        return await self._hits(search, match, limit)

    async def _read_for_words(
        self, search: _Search, terms: Sequence[Term], limit: int
    ) -> tuple[list[int], _Search]:
        """The newest events that fit the other filters, read and looked through for the words: to
        ask the search index about each takes longer. Gives what was found, and what is left to be
        searched."""
        found: list[int] = []
        for _ in range(PAGES_READ):
            numbers = await self._by_columns(search, PAGE_READ)
            for row in await self._by_number(numbers) if numbers else ():
                if has_terms(words_of(read_event(tuple(row)).event), terms):
                    found.append(row.sequence)
            if len(found) >= limit:
                break
            if len(numbers) < PAGE_READ:
                return found[:limit], replace(search, high=search.low)
            search = replace(search, high=numbers[-1])
        return found[:limit], search

    async def _hits(self, search: _Search, match: str, limit: int) -> Sequence[int]:
        if not self._postgres:
            return await self._matching(_words, _words.c.rowid, search, match, limit)
        number = _words.c.sequence
        bounds = (number > search.low, number < search.high)
        both = select(number, _words.c.words)
        near = both.where(*bounds).order_by(number.desc()).limit(NEAR).subquery()
        found = await self._matching(near, near.c.sequence, search, match, limit)
        if len(found) >= limit:
            return found
        # OFFSET 0 keeps the planner from walking the whole log in order instead.
        every = both.where(_contains(_words.c.words, match)).offset(0).subquery()
        return await self._matching(every, every.c.sequence, search, match, limit)

    async def _matching(
        self, source: Any, number: ColumnElement[int], search: _Search, match: str, limit: int
    ) -> Sequence[int]:
        tests = [each.test for each in search.filters] + search.times
        fits = _fits(match) if not self._postgres else _contains(source.c.words, match)
        query = select(number).where(fits, number > search.low, number < search.high)
        if tests:
            # A subquery for each hit, so that the hits stay what is walked.
            found = select(literal(1)).where(events.c.sequence == number, *tests)
            query = query.where(found.correlate(source).scalar_subquery() == 1)
        return [row[0] for row in await self._rows(query.order_by(number.desc()).limit(limit))]

    def _has_words(self, match: str) -> ColumnElement[bool]:
        """Whether an event that is walked past has the words."""
        if self._postgres:
            fits, number = _contains(_words.c.words, match), _words.c.sequence
        else:
            fits, number = _fits(match), _words.c.rowid
        found = select(literal(1)).where(number == events.c.sequence, fits)
        return found.correlate(events).scalar_subquery() == 1


_words: Final = table(
    "event_words", column("rowid", BigInteger), column("sequence", BigInteger), column("words")
)


def _fits(match: str) -> ColumnElement[bool]:
    """SQLite's question to its search index."""
    return literal_column("event_words").op("MATCH", is_comparison=True)(literal(match))


def _contains(words: ColumnElement[Any], match: str) -> ColumnElement[bool]:
    """PostgreSQL's question to its search index."""
    return words.op("@@", is_comparison=True)(cast(literal(match), TSQUERY))


def _match(terms: Sequence[Term], *, postgres: bool) -> str:
    """What to ask the search index for: every word, or its beginning."""
    if postgres:
        return " & ".join(f"'{term.word}'{':*' if term.begins else ''}" for term in terms)
    return " AND ".join(f'"{term.word}"{"*" if term.begins else ""}' for term in terms)


def _bare(column: str) -> ColumnElement[Any]:
    """A column as a value that no index is for, so that no planner leaves the walk for it."""
    found = events.c[column]
    return found + 0 if column == "actor_uid" else found.concat("")


def _equal(column: str, value: str | int) -> _Filter:
    return _Filter(((column, value),), _bare(column) == value)


def _family(wanted: str) -> _Filter:
    """Actions, of each itself and all that begin with it and a dot."""
    parts = wanted.split(",")
    known = [e.value for e in Action if any(e == p or e.startswith(f"{p}.") for p in parts)]
    return _Filter(tuple(("action", each) for each in known), _bare("action").in_(known))


def _walk(
    column: str,
    value: str | int,
    search: _Search,
    tests: Sequence[ColumnElement[bool]],
    *,
    postgres: bool,
) -> Select[Any]:
    """Numbers of the events with one value, from the newest on, along the index of that column.

    PostgreSQL is asked for pairs, SQLite by naming the index: it does not look a number up in a
    pair, where that is the row's own.
    """
    found, number = events.c[column], events.c.sequence
    given = literal(value, found.type)
    low, high = literal(search.low, number.type), literal(search.high, number.type)
    walked = select(number).where(found.is_not(None), *tests)
    if postgres:
        pair = tuple_(found, number)
        walked = walked.where(pair > tuple_(given, low), pair < tuple_(given, high))
    else:
        walked = walked.with_hint(events, f"INDEXED BY {_INDEXES[column]}", "sqlite")
        walked = walked.where(found == given, number > low, number < high)
    return walked.order_by(found.desc(), number.desc())
