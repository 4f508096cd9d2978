"""Changing a card, or putting it back: all of it or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from emopi.device.errors import CardError
from emopi.device.flash.partition import Partition
from emopi.device.flash.plan import BACKUP, FOLDER, RECORD, Change, Record, digest

SPARE_BYTES = 2 << 20
"""Room that is left beside what is written: temporary files, clusters that are not full."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What a plan needs on a card as it is now."""

    backups: tuple[str, ...]
    """Files that are copied to a name with `BACKUP` at its end."""
    changes: tuple[Change, ...]
    """Files that are not yet as they are to be, the record of them first."""
    stale: tuple[str, ...]
    """Files of an earlier run that go."""

    @property
    def names(self) -> list[str]:
        """Of all that changes, without backups."""
        return [*(change.name for change in self.changes), *self.stale]


def work_out(partition: Partition, plan: list[Change]) -> Work:
    """What there is to do, which may be nothing. Writes nothing itself."""
    before = Record.read(partition)
    changes = [change for change in plan if not _is_done(partition, change)]
    record = Change(RECORD, _record(partition, before, plan, changes).to_bytes())
    if not _is_done(partition, record):
        changes.insert(0, record)
    backups = tuple(
        change.name
        for change in changes
        if "/" not in change.name
        and change.name not in before.digests
        and partition.exists(change.name)
    )
    return Work(backups, tuple(changes), tuple(_stale(partition, before, plan)))


def apply(partition: Partition, work: Work) -> None:
    """Do the work, with a backup of each file that was there.

    Raises `CardError`, and leaves the card as it was, if it cannot be written or has no room.
    """
    partition.check_writable()
    _check_room(partition, work.changes)
    had_folder = partition.exists(FOLDER)
    undo: list[tuple[str, bytes | None]] = []
    try:
        for name in work.backups:
            undo.append((f"{name}{BACKUP}", None))
            partition.write(f"{name}{BACKUP}", partition.read(name))
        for change in work.changes:
            undo.append((change.name, _content(partition, change.name)))
            _write(partition, change)
        for name in work.stale:
            undo.append((name, partition.read(name)))
            partition.remove(name)
    except BaseException:
        for name, content in reversed(undo):
            with contextlib.suppress(CardError):
                _put_back(partition, name, content)
        if not had_folder:
            with contextlib.suppress(CardError):
                partition.remove(FOLDER)
        raise


def restore(partition: Partition) -> list[str]:
    """Put back what was there before emopi flash; the names that changed.

    Raises `CardError` if there is nothing to put back.
    """
    record = Record.read(partition)
    if not record.digests:
        raise CardError(
            f"{partition} has no {RECORD}: emopi flash has not prepared it, or it has booted since"
        )
    partition.check_writable()
    for name in sorted(record.digests):
        if name in record.created:
            partition.remove(name)
        elif partition.exists(f"{name}{BACKUP}"):
            partition.write(name, partition.read(f"{name}{BACKUP}"))
            partition.remove(f"{name}{BACKUP}")
    partition.remove(FOLDER)
    return sorted(record.digests)


def _is_done(partition: Partition, change: Change) -> bool:
    """Whether the file is already so."""
    if not partition.exists(change.name):
        return False
    wanted = change.source.read_bytes() if change.source else change.content
    return partition.read(change.name) == wanted


def _record(
    partition: Partition, before: Record, plan: list[Change], changes: list[Change]
) -> Record:
    """Of the files outside of our folder that are ours now or change now."""
    ours = {*before.digests, *(change.name for change in changes)}
    files = [change for change in plan if change.name in ours and "/" not in change.name]
    new = {change.name for change in files if not partition.exists(change.name)}
    return Record(
        {change.name: digest(change.content) for change in files},
        tuple(c.name for c in files if c.name in new or c.name in before.created),
    )


def _stale(partition: Partition, before: Record, plan: list[Change]) -> list[str]:
    """What an earlier run made and this one would not."""
    wanted = {RECORD, *(change.name for change in plan)}
    ours = [*before.created, *(f"{FOLDER}/{name}" for name in partition.names(FOLDER))]
    return [name for name in ours if name not in wanted and partition.exists(name)]


def _check_room(partition: Partition, changes: Sequence[Change]) -> None:
    sizes = [c.source.stat().st_size if c.source else len(c.content) for c in changes]
    needed, free = sum(sizes) + SPARE_BYTES, partition.free_bytes()
    if needed > free:
        raise CardError(
            f"{partition} has {free / 2**20:.1f} MiB free; expected {needed / 2**20:.1f} MiB"
        )


def _content(partition: Partition, name: str) -> bytes | None:
    return partition.read(name) if partition.exists(name) else None


def _write(partition: Partition, change: Change) -> None:
    if change.source:
        partition.copy(change.source, change.name)
    else:
        partition.write(change.name, change.content)


def _put_back(partition: Partition, name: str, content: bytes | None) -> None:
    if content is None:
        partition.remove(name)
    else:
        partition.write(name, content)
