"""Files on a real file system: replaced in one step, private, and never through a link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import Busy, Drift, NeedsHuman, OutcomeUnknown, Refused, Unavailable
from rotator.domain.secret import Secret
from rotator.targets import file, safe_file
from rotator.targets.file import FileTarget

TARGET = FileTarget()


def a_file(path: Path, **params: str) -> TargetSpec:
    return TargetSpec(type="file", key=f"file:{path}", params={"path": str(path), **params})


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fly0.conf"


async def test_a_delivered_value_stands_in_the_file_for_its_owner_only(path: Path) -> None:
    await TARGET.deliver(a_file(path), Secret("new value\n"))
    assert path.read_text() == "new value\n"
    assert rights(path) == 0o600
    assert names(path.parent) == ["fly0.conf"]


async def test_the_mode_asked_for_is_given_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        await TARGET.deliver(a_file(path, mode="0640"), Secret("v"))
    finally:
        os.umask(before)
    assert rights(path) == 0o640


async def test_the_owner_asked_for_is_given(path: Path) -> None:
    owner = f"{os.getuid()}:{os.getgid()}"
    await TARGET.deliver(a_file(path, owner=owner), Secret("v"))
    assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_root_gives_the_file_away_and_can_still_read_it_back(path: Path) -> None:
    await TARGET.deliver(a_file(path, owner="12345:23456"), Secret("v"))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


async def test_an_unknown_owner_needs_a_human_and_nothing_is_written(path: Path) -> None:
    with pytest.raises(NeedsHuman, match="no user 'no-such-user'"):
        await TARGET.deliver(a_file(path, owner="no-such-user:0"), Secret("v"))
    assert names(path.parent) == []


async def test_a_reader_who_has_the_old_file_open_keeps_the_whole_old_value(path: Path) -> None:
    path.write_text("old value")
    with path.open() as reader:
        await TARGET.deliver(a_file(path), Secret("new"))
        assert reader.read() == "old value"
    assert path.read_text() == "new"


async def test_delivering_twice_is_harmless_and_confirmed(path: Path) -> None:
    await TARGET.deliver(a_file(path), Secret("v"))
    receipt = await TARGET.deliver(a_file(path), Secret("v"))
    evidence = await TARGET.confirm(a_file(path), receipt)
    assert str(path) in evidence.statement


async def test_the_marker_is_the_one_that_inspect_shows(path: Path) -> None:
    assert await TARGET.inspect(a_file(path)) is None
    receipt = await TARGET.deliver(a_file(path), Secret("v"))
    state = await TARGET.inspect(a_file(path))
    assert state is not None
    assert state.marker == receipt.marker
    assert state.changed_at is not None


async def test_a_change_by_somebody_else_is_drift(path: Path) -> None:
    receipt = await TARGET.deliver(a_file(path), Secret("v"))
    path.write_text("mine now")
    with pytest.raises(Drift, match="somebody else changed"):
        await TARGET.confirm(a_file(path), receipt)
    assert path.read_text() == "mine now"


async def test_a_deleted_file_is_drift(path: Path) -> None:
    receipt = await TARGET.deliver(a_file(path), Secret("v"))
    path.unlink()
    with pytest.raises(Drift, match="was deleted"):
        await TARGET.confirm(a_file(path), receipt)


async def test_removing_takes_the_file_away_and_again_is_success(path: Path) -> None:
    await TARGET.deliver(a_file(path), Secret("v"))
    await TARGET.remove(a_file(path))
    receipt = await TARGET.remove(a_file(path))
    assert names(path.parent) == []
    assert "absent" in receipt.marker
    await TARGET.confirm(a_file(path), receipt)


async def test_a_symbolic_link_is_neither_followed_nor_replaced(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.write_text("precious")
    path.symlink_to(elsewhere)
    for attempt in (
        TARGET.deliver(a_file(path), Secret("v")),
        TARGET.remove(a_file(path)),
        TARGET.inspect(a_file(path)),
    ):
        with pytest.raises(Refused, match="symbolic link"):
            await attempt
    assert path.is_symlink()
    assert elsewhere.read_text() == "precious"


async def test_a_directory_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Refused, match="not a regular file"):
        await TARGET.deliver(a_file(path), Secret("v"))
    with pytest.raises(Refused, match="not a regular file"):
        await TARGET.remove(a_file(path))


async def test_a_parent_that_is_a_link_of_a_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    if os.geteuid() == 0:
        os.lchown(link, 12345, 12345)
    with pytest.raises(Refused, match="does not belong to root"):
        await TARGET.deliver(a_file(link / "x.conf"), Secret("v"))
    assert names(tmp_path / "real") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes root's links")
async def test_a_parent_that_is_a_link_of_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    await TARGET.deliver(a_file(tmp_path / "link" / "x.conf"), Secret("v"))
    assert names(tmp_path / "real") == ["x.conf"]


async def test_a_directory_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Refused, match="everybody may replace files"):
        await TARGET.deliver(a_file(folder / "x.conf"), Secret("v"))
    folder.chmod(0o1777)
    await TARGET.deliver(a_file(folder / "x.conf"), Secret("v"))


async def test_a_missing_directory_is_named_with_what_to_do(tmp_path: Path) -> None:
    spec = a_file(tmp_path / "missing" / "x.conf")
    for attempt in (TARGET.inspect(spec), TARGET.deliver(spec, Secret("v"))):
        with pytest.raises(NeedsHuman, match=r"does not exist.*create .*missing"):
            await attempt
    await TARGET.remove(spec)


async def test_a_file_in_the_place_of_a_directory_is_refused(path: Path) -> None:
    path.write_text("x")
    with pytest.raises(Refused, match="plain directories"):
        await TARGET.deliver(a_file(path / "x.conf"), Secret("v"))


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, Unavailable, "no room"),
        (errno.EDQUOT, Unavailable, "no room"),
        (errno.EROFS, Refused, "read-only"),
        (errno.EACCES, Refused, "may not read and write"),
        (errno.EIO, Unavailable, "can't be reached"),
    ],
)
async def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
    words: str,
) -> None:
    path.write_text("old")

    def fail(handle: int, rest: memoryview) -> int:
        raise OSError(number, "synthetic")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(error, match=words):
        await TARGET.deliver(a_file(path), Secret("new-value"))
    assert path.read_text() == "old"
    assert names(path.parent) == ["fly0.conf"]


async def test_a_failure_after_the_exchange_leaves_the_outcome_unknown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fail_on_directories(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "synthetic")
        real(handle)

    monkeypatch.setattr(os, "fsync", fail_on_directories)
    with pytest.raises(OutcomeUnknown):
        await TARGET.deliver(a_file(path), Secret("v"))
    with pytest.raises(OutcomeUnknown):
        await TARGET.remove(a_file(path))


async def test_file_and_directory_are_both_flushed_to_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bool] = []
    real = os.fsync

    def watch(handle: int) -> None:
        flushed.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    await TARGET.deliver(a_file(path), Secret("v"))
    assert flushed == [False, True]


async def test_what_a_killed_writer_left_is_removed_by_the_next_one(path: Path) -> None:
    (path.parent / ".fly0.conf.rotator-999-0").write_text("half a val")
    await TARGET.deliver(a_file(path), Secret("v"))
    assert names(path.parent) == ["fly0.conf"]


async def test_the_temporary_file_of_a_living_writer_is_left_alone(path: Path) -> None:
    other = path.parent / ".fly0.conf.rotator-999-0"
    with other.open("w") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        await TARGET.deliver(a_file(path), Secret("v"))
        assert other.exists()


async def test_a_writer_that_was_swept_away_says_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = safe_file._fill

    def sweep_meanwhile(handle: int, value: Secret, **rest: object) -> None:
        for leftover in path.parent.glob(".fly0.conf.rotator-*"):
            leftover.unlink()
        real(handle, value, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(safe_file, "_fill", sweep_meanwhile)
    with pytest.raises(Busy):
        await TARGET.deliver(a_file(path), Secret("v"))


async def test_an_exchange_by_somebody_else_during_the_write_is_drift(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = safe_file._put_in_place

    def replace_at_once(name: str, where: object, directory: int) -> None:
        real(name, where, directory)  # type: ignore[arg-type]
        other = path.with_name("other")
        other.write_text("mine")
        other.rename(path)

    monkeypatch.setattr(safe_file, "_put_in_place", replace_at_once)
    with pytest.raises(Drift, match="somebody else replaced"):
        await TARGET.deliver(a_file(path), Secret("v"))


async def test_a_value_that_was_not_kept_whole_is_noticed_by_reading_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = safe_file._put_in_place

    def damage(name: str, where: object, directory: int) -> None:
        real(name, where, directory)  # type: ignore[arg-type]
        with path.open("r+") as file:
            file.write("X")

    monkeypatch.setattr(safe_file, "_put_in_place", damage)
    with pytest.raises(Drift, match="somebody else changed"):
        await TARGET.deliver(a_file(path), Secret("value"))


async def test_the_value_is_private_from_the_first_instant(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = os.write

    def look(handle: int, rest: memoryview) -> int:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, rest)

    monkeypatch.setattr(os, "write", look)
    before = os.umask(0)
    try:
        await TARGET.deliver(a_file(path, mode="0660"), Secret("v"))
    finally:
        os.umask(before)
    assert seen == [0o600]


async def test_a_file_system_that_hangs_does_not_hang_rotator(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "IO_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(OutcomeUnknown, match="did not answer"):
        await TARGET.deliver(a_file(path), Secret("v"))
    with pytest.raises(Unavailable, match="did not answer"):
        await TARGET.inspect(a_file(path))
