"""One process at a time for a run: `lock.json` in its folder, while it is trained.

The file says which process has the run. It is made by a hard link (exclusively by `O_EXCL` where there are none), which
network file systems do whole or not at all; `flock`, which many of them lack, is not needed. A lock whose process is
dead is taken over. Whether a process on another machine, or in another container, lives cannot be asked: it touches its
lock every `TOUCH_SECONDS`, and is taken for dead after `STALE_SECONDS`, by the clock of the file system.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from inscape.errors import UsageError, printable

LOCK = "lock.json"
TOUCH_SECONDS = 20.0
STALE_SECONDS = 180.0
_OWN: set[str] = set()
"""Tokens of the locks that this process has, or is about to take."""


@dataclass(frozen=True)
class Holder:
    """The process that has a run.

    Attributes:
        host: name of its machine.
        place: tells machines, boots and containers apart: within one, process numbers are comparable.
        pid: its number.
        started: when it started, in the system's ticks, "" where the system does not say: numbers are used again.
        since: when it took the run.
        token: unlike that of any other lock.
    """

    host: str
    place: str
    pid: int
    started: str
    since: str
    token: str

    @classmethod
    def this_process(cls) -> Holder:
        """Returns this process as the holder of a new lock."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        host = socket.gethostname()
        return cls(host, _place(host), os.getpid(), _started(os.getpid()), now, secrets.token_hex(8))

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Returns the holder that a lock names; None where the file is not one."""
        try:
            found = cls(**json.loads(path.read_bytes()))
        except (ValueError, TypeError, RecursionError):
            return None
        return found if isinstance(found.pid, int) and all(isinstance(t, str) for t in found._texts()) else None

    def _texts(self) -> tuple[object, ...]:
        return self.host, self.place, self.started, self.since, self.token

    def is_alive(self, age: float) -> bool:
        """Returns whether the process lives.

        Args:
            age: seconds since it touched the lock.
        """
        if self.place != _place(socket.gethostname()):
            return age < STALE_SECONDS
        if self.pid == os.getpid():  # this process may have the number of one that was ended in an earlier boot
            return self.token in _OWN
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        started = _started(self.pid)
        return started not in ("zombie", "gone") and (not self.started or not started or started == self.started)


TRIES = 500
"""Looks at a lock that one process after another takes and gives free."""
GUARD_SECONDS = 10.0
"""Age from which the mark of a process that removes a stale lock counts as left behind; removal takes 1 ms."""


class RunLock:
    """The right to write to a run folder, until `release`.

    Args:
        folder: the run folder; it exists.

    Raises:
        UsageError: another process has it, or the folder cannot be written.

    Attributes:
        holder: this process.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.resolve() / LOCK
        self._folder = folder
        self.holder = Holder.this_process()
        self._end = threading.Event()
        _OWN.add(self.holder.token)
        try:
            self._take()
        except UsageError:
            _OWN.discard(self.holder.token)
            raise
        except OSError as error:
            _OWN.discard(self.holder.token)
            raise UsageError(
                f"cannot write {self._path}: {error.strerror or error}",
                expected="a folder that can be written",
                hint="another place with --out",
            ) from error
        threading.Thread(target=self._touch, name="inscape-lock", daemon=True).start()

    def _take(self) -> None:
        own = self._path.with_name(f".{LOCK}.{self.holder.token}")
        try:
            own.write_text(json.dumps(asdict(self.holder)))
            for _ in range(TRIES):
                if self._made(own):
                    return
                self._remove_stale(own)
        finally:
            own.unlink(missing_ok=True)
        raise UsageError(f"{self._folder} is taken by one process after another", hint="try again")

    def _made(self, own: Path) -> bool:
        try:
            os.link(own, self._path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                return False
            with os.fdopen(handle, "w") as file:
                file.write(own.read_text())
        return True

    def _remove_stale(self, own: Path) -> None:
        """Removes a lock whose process is dead.

        Raises:
            UsageError: it lives.
        """
        try:
            holder, touched = Holder.read(self._path), self._path.stat().st_mtime
        except FileNotFoundError:
            return  # just released
        os.utime(own)
        age = own.stat().st_mtime - touched  # both by the clock of the file system
        if holder.is_alive(age) if holder is not None else age < STALE_SECONDS:
            raise _in_use(self._folder, holder)
        # Between a look at a stale lock and its removal another process may have put its own there: only one at a time
        # removes, and looks again before it does.
        guard = self._path.with_name(f".{LOCK}.removing")
        try:
            os.close(os.open(guard, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            time.sleep(0.01)
            with suppress(FileNotFoundError):
                if own.stat().st_mtime - guard.stat().st_mtime > GUARD_SECONDS:  # of a process that died just there
                    guard.unlink()
            return
        try:
            with suppress(FileNotFoundError):
                if Holder.read(self._path) == holder:
                    self._path.unlink()
        finally:
            guard.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._end.wait(TOUCH_SECONDS):
            with suppress(OSError):
                os.utime(self._path)

    def require(self) -> None:
        """Raises `UsageError` if another process has taken the run over, this one having slept for long."""
        try:
            holder = Holder.read(self._path)
        except OSError:  # the folder was moved or removed, which writing reports
            return
        if holder != self.holder:
            raise _in_use(self._folder, holder)

    def release(self) -> None:
        """Gives the run free; a lock that another process has taken over stays."""
        self._end.set()
        with suppress(OSError):
            if Holder.read(self._path) == self.holder:
                self._path.unlink()
        _OWN.discard(self.holder.token)


def holder_of(folder: Path) -> Holder | None:
    """Returns the process that trains a run at present, so far as can be seen; None where there is none."""
    path = folder / LOCK
    try:
        holder, age = Holder.read(path), time.time() - path.stat().st_mtime
    except OSError:
        return None
    return holder if holder is not None and holder.is_alive(age) else None


def _in_use(folder: Path, holder: Holder | None) -> UsageError:
    if holder is None:
        found = f"{folder} has a lock that cannot be read"
        hint = f"wait {STALE_SECONDS / 60:.0f} minutes; or remove {folder / LOCK}"
    else:
        own = holder.pid == os.getpid() and holder.place == _place(socket.gethostname())
        who = "this process" if own else f"process {holder.pid} on {printable(holder.host)}"
        found = f"{folder} is in use by {who}, since {printable(holder.since)}"
        hint = "wait until it ends, or end it; inscape report shows the run meanwhile"
    return UsageError(found, expected="a run that no other process trains", hint=hint)


def _place(host: str) -> str:
    parts = [host]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text().strip())
    return " ".join(parts)


def _started(pid: int) -> str:
    """Returns when a process started, "zombie" or "gone" for one that has ended, "" where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return "gone" if Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    return "zombie" if fields[0] in ("Z", "X") else fields[19]
