"""`rotator discover`: look, show, and add what is picked to the manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rotator.cli.discovered import as_data, picking_table, show_assessed
from rotator.cli.failures import PARTLY
from rotator.cli.picking import chosen_numbers
from rotator.cli.session import opened
from rotator.cli.text import console, moment, print_json, say, show
from rotator.domain.discovery import Assessed, Found, Thing
from rotator.domain.errors import InputError, NotFound
from rotator.engine.discover import Discovery, discover
from rotator.kinds.adoptable import Adoptable, adoptable, credential_name
from rotator.manifest import Manifest, parse_manifest
from rotator.manifest.append import Entry, append_entries
from rotator.wiring import Rotator


@dataclass(frozen=True)
class Wanted:
    """What to look at, and what to add to the manifest."""

    organizations: tuple[str, ...]
    kinds: tuple[str, ...]
    untracked: bool
    picks: tuple[str, ...]
    everything: bool

    def fits(self, assessed: Assessed) -> bool:
        """Whether it is to be shown."""
        if self.kinds and assessed.found.thing.value not in self.kinds:
            return False
        return not (self.untracked and assessed.tracked)


async def show_discovery(wanted: Wanted, *, write: bool, as_json: bool) -> int:
    """`rotator discover`. 3 where a part could not be read."""
    check_options(wanted, write=write)
    async with opened(online=True) as rotator:
        manifest = rotator.manifest() if write or rotator.settings.manifest.exists() else None
        with _progress(shown=not as_json) as told:
            found = await _looked(rotator, manifest, wanted, told)
        now = rotator.parts.clock.now()
        fitting = [each for each in found.assessed if wanted.fits(each)]
        added: list[Entry] = []
        if write and manifest is not None:
            added = _write(rotator, manifest, fitting, wanted)
    if as_json:
        print_json(as_data(found, fitting, added, now))
    else:
        if not write:
            show_assessed(found, fitting, now)
        _tell_added(rotator, added, asked=write)
    for each in found.missing:
        print(f"rotator: not read: {each}", file=sys.stderr)  # noqa: T201
    return PARTLY if found.missing else 0


async def _looked(
    rotator: Rotator,
    manifest: Manifest | None,
    wanted: Wanted,
    told: Callable[[str, int, int], None],
) -> Discovery:
    declared = _declared(rotator, manifest)
    survey, slugs = rotator.client.survey, wanted.organizations
    try:
        return await discover(rotator.parts, survey, slugs, declared, told)
    except NotFound as error:
        raise InputError(
            f"the API token sees no such organisation: {error.message}",
            where="--org",
            next_step="without --org, all that it sees are listed",
        ) from None


def check_options(wanted: Wanted, *, write: bool) -> None:
    """Refuse what can't be meant, before anything is asked."""
    things = [thing.value for thing in Thing]
    for kind in wanted.kinds:
        if kind not in things:
            raise InputError(f"{kind[:40]!r} is none of {', '.join(things)}", where="--kind")
    if not write and (wanted.picks or wanted.everything):
        raise InputError(
            "--pick and --all say what to add to the manifest", next_step="add --write"
        )
    if wanted.picks and wanted.everything:
        raise InputError("give --pick or --all, not both")
    if write and not (wanted.picks or wanted.everything) and not _on_terminal():
        raise InputError(
            "nobody is there to pick from the list",
            where="--write",
            next_step="say what to add: --pick WHAT, or --all",
        )


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _declared(rotator: Rotator, manifest: Manifest | None) -> Callable[[Found], str | None]:
    """Which credential of the manifest lives where a thing does, or is delivered there."""
    places: dict[str, str] = {}
    for spec in manifest.specs if manifest is not None else ():
        places[spec.place] = spec.name
        places |= {target.key: spec.name for target in spec.targets}

    def declared(found: Found) -> str | None:
        if found.thing is Thing.SECRET:
            return places.get(f"fly-secret:{found.app}/{found.name}")
        fit = adoptable(found)
        if isinstance(fit, str):
            return None
        kind = rotator.kinds[fit.kind]
        return places.get(kind.place(found.base_name, found.organization, fit.params))

    return declared


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where somebody watches."""
    target = console(err=True)
    if not (shown and target.is_terminal):
        yield lambda _slug, _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("apps"),
        console=target,
        transient=True,
    ) as progress:
        bars: dict[str, TaskID] = {}

        def told(slug: str, done: int, total: int) -> None:
            if slug not in bars:
                bars[slug] = progress.add_task(f"reading {slug}", total=None)
            progress.update(bars[slug], completed=done, total=total)

        yield told


def _write(
    rotator: Rotator, manifest: Manifest, fitting: Sequence[Assessed], wanted: Wanted
) -> list[Entry]:
    """Add what is picked to the manifest."""
    candidates = [each for each in fitting if not each.tracked]
    chosen = _picked(candidates, manifest, wanted)
    entries = list(_entries(chosen, manifest))
    if entries:
        path = rotator.settings.manifest
        clock = rotator.parts.clock

        def check(text: str) -> None:
            parse_manifest(
                text,
                str(path),
                rotator.kinds,
                rotator.targets,
                clock.now(),
                folder=path.parent,
            )

        append_entries(path, entries, check)
    return entries


def _picked(
    candidates: Sequence[Assessed], manifest: Manifest, wanted: Wanted
) -> Sequence[Assessed]:
    """What to add. A thing that was named and can't be added is an error, before anything is
    written; of many, those that can't are left out."""
    can = [each for each in candidates if _obstacle(each.found, manifest) is None]
    if wanted.everything:
        return can
    if not wanted.picks:
        return _asked(can)
    chosen: dict[int, Assessed] = {}
    for pick in wanted.picks:
        named = [each for each in candidates if fnmatchcase(each.found.key, pick)]
        if not named:
            raise InputError(
                f"nothing untracked is called {pick[:80]!r}",
                where="--pick",
                next_step="`rotator discover --untracked` lists what there is",
            )
        fitting = [each for each in named if each in can]
        if not fitting:
            obstacle = _obstacle(named[0].found, manifest)
            raise InputError(f"{pick} can't be tracked: {obstacle}", where="--pick")
        chosen |= {id(each): each for each in fitting}
    return list(chosen.values())


def _asked(candidates: Sequence[Assessed]) -> Sequence[Assessed]:
    """Let the person at the terminal choose."""
    if not candidates:
        return ()
    show(picking_table(candidates))
    while True:
        try:
            answer = input("track which? (numbers like 1,3-5, `all`, nothing for none) ")
        except EOFError:
            say()
            return ()
        try:
            return [candidates[number - 1] for number in chosen_numbers(answer, len(candidates))]
        except ValueError as error:
            say(str(error))


def _obstacle(found: Found, manifest: Manifest) -> str | None:
    """Why it can't have an entry, or None."""
    if found.organization != manifest.organization:
        return f"it is of {found.organization}, and the manifest is for {manifest.organization}"
    fit = adoptable(found)
    return fit if isinstance(fit, str) else None


def _entries(chosen: Sequence[Assessed], manifest: Manifest) -> Iterator[Entry]:
    """One entry for each place: of several tokens of one name the newest is the one that counts."""
    taken = {spec.name for spec in manifest.specs}
    seen: set[tuple[object, ...]] = set()
    for each in chosen:
        found, fit = each.found, adoptable(each.found)
        assert isinstance(fit, Adoptable)
        place = (fit.kind, found.app, found.base_name if found.ref else found.name)
        if place in seen:
            continue
        seen.add(place)
        name = credential_name(found, taken)
        taken.add(name)
        yield Entry(name, fit.kind, fit.params, fit.targets, _about(found), fit.hint)


def _about(found: Found) -> str:
    told = [f"found by `rotator discover` as {found.key}"]
    if found.at is not None:
        told.append(f"{'set' if found.thing is Thing.SECRET else 'made'} {moment(found.at)}")
    if found.creator:
        told.append(f"by {found.creator}")
    if found.expires_at is not None:
        told.append(f"ends {moment(found.expires_at)}")
    return ", ".join(told)


def _tell_added(rotator: Rotator, added: Sequence[Entry], *, asked: bool) -> None:
    if not asked:
        return
    if not added:
        say("nothing was added to the manifest")
        return
    say(f"added to {rotator.settings.manifest}, observed only:")
    for entry in added:
        say(f"  {entry.name}  ({entry.kind})")
    say("next: `rotator plan` tells what each would come to")
