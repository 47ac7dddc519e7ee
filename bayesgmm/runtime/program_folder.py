"""The folder of compiled programs on disk: private to its user, bounded in size, shared by many processes.

Loading a compiled program runs its code. So a file is read only if it belongs to the user, nobody else may write to it,
and its digest is right. Each file is written under another name and then renamed, so that no reader sees half of it.

The folder is the user's cache folder, or that in the environment variable ``BAYESGMM_CACHE``; ``off`` keeps nothing.
If the folder cannot be used, programs are compiled as without it, and one warning says why.
"""

import hashlib
import os
import secrets
import stat
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bayesgmm.errors import CacheWarning
from bayesgmm.runtime.formatting import file_size

VARIABLE = "BAYESGMM_CACHE"
OFF = ("off", "0", "no", "false", "none")
MOST_BYTES = 2**30
"""Size of the folder above which the files that were used least recently are removed."""
KEPT_SHARE = 0.9
"""Share of `MOST_BYTES` that is left after files were removed."""
ABANDONED = 3600.0
"""Age in seconds of an unfinished file that no process is still writing."""
MAGIC = b"bayesgmm program 1\n"
DIGEST = 32

_told: set[str] = set()
"""Folders that this process does not use, after a warning."""
_not_written: set[str] = set()
"""Folders that this process only reads, after a warning."""


@dataclass(frozen=True)
class CacheInfo:
    """Where compiled programs are kept, how many there are, and their size."""

    folder: Path | None
    """None if nothing is kept."""
    num_programs: int
    num_bytes: int

    def __repr__(self) -> str:
        if self.folder is None:
            return f"No compiled programs are kept ({VARIABLE} is set to off)."
        limit = file_size(MOST_BYTES)
        return f"{self.folder}: {self.num_programs} compiled programs, {file_size(self.num_bytes)} of at most {limit}"


def cache_info() -> CacheInfo:
    """Where compiled programs are kept, and how large they are."""
    folder = _folder()
    sizes = [found.st_size for _, found in _files(folder)] if folder else []
    return CacheInfo(folder, len(sizes), sum(sizes))


def clear_cache() -> CacheInfo:
    """Remove the compiled programs on disk. Those already loaded into this process stay.

    Returns
    -------
    CacheInfo
        What was removed.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    before, folder = cache_info(), _folder()
    for path, found in _files(folder) if folder else ():
        if path.suffix == ".program" or time.time() - found.st_mtime > ABANDONED:  # others may be being written
            path.unlink(missing_ok=True)
    return before


def has_program(key: bytes) -> bool:
    """Whether there is a file of this key; it may still be refused when it is read."""
    folder = _usable_folder()
    return folder is not None and _path(folder, key).exists()


def read_program(key: bytes) -> bytes | None:
    """The program of this key; None if there is none, or none that can be trusted. A torn file is removed."""
    folder = _usable_folder()
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            if not _private(os.fstat(file.fileno())):
                return None
            content = file.read()
    except OSError:
        return None
    head, payload = content[: len(MAGIC) + DIGEST], content[len(MAGIC) + DIGEST :]
    whole = head == MAGIC + _digest(key, payload)
    with suppress(OSError):  # on a disk that is only read, the file stays
        if whole:
            os.utime(path)
        else:
            path.unlink(missing_ok=True)
    return payload if whole else None


def write_program(key: bytes, payload: bytes) -> None:
    """Keep a program under this key."""
    folder = _usable_folder()
    if folder is None or str(folder) in _not_written:
        return
    path = _path(folder, key)
    part = path.with_name(f"{path.stem}-{secrets.token_hex(8)}.part")
    try:
        with open(
            os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600), "wb"
        ) as file:
            file.write(MAGIC + _digest(key, payload) + payload)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        _not_written.add(str(folder))  # what is there can still be read
        _warn(folder, f"A compiled program could not be saved there ({error.strerror or error}).")
        return
    _make_room(folder)


def _folder() -> Path | None:
    """The folder, whether it exists or not; None if nothing is kept."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.strip().lower() in OFF:
        return None
    # A folder of our own inside the user's: it can be made private without changing the other.
    if chosen.strip():
        return Path(os.path.expanduser(chosen.strip())) / "programs"
    parent = platformdirs.user_cache_path("bayesgmm", appauthor=False)
    if not parent.is_absolute():  # XDG_CACHE_HOME is empty or relative: the standard says to ignore it
        parent = Path(os.path.expanduser("~/.cache/bayesgmm"))
    return parent / "programs"


def _usable_folder() -> Path | None:
    """The folder, made if it did not exist; None, with one warning, if it cannot be used."""
    folder = _folder()
    if folder is None or str(folder) in _told:
        return None
    parent = folder.parent
    try:
        if parent.exists() and not parent.is_dir():
            return _tell(folder, f"{parent} is a file, not a folder.")
        if parent.exists() and not _ours(parent.stat(), root=True):
            return _tell(folder, f"{parent} belongs to another user.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if not _ours(found):
            return _tell(folder, "It belongs to another user.")
        if not _private(found):
            return _tell(folder, f"Other users may write to it. Run: chmod 700 {folder}.")
    except OSError as error:
        return _tell(folder, f"It cannot be used ({error.strerror or error}).")
    return folder


def _ours(found: os.stat_result, root: bool = False) -> bool:
    """Whether this user (or the administrator, with ``root``) is the owner. Windows has private profiles instead."""
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid() or (root and found.st_uid == 0)


def _private(found: os.stat_result) -> bool:
    """Whether this user is the owner, and no other user may write."""
    return _ours(found) and (os.name == "nt" or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _tell(folder: Path, why: str) -> None:
    """Warn once for each folder, and do not use it again in this process."""
    if str(folder) not in _told:
        _told.add(str(folder))
        _warn(folder, why)


def _warn(folder: Path, why: str) -> None:
    warnings.warn(
        f"Compiled programs are not kept in {folder}. {why} Results are the same, but every new process compiles "
        f"again. Set {VARIABLE} to a folder of yours, or to 'off'.",
        CacheWarning, stacklevel=3,
    )  # fmt: skip


def _path(folder: Path, key: bytes) -> Path:
    return folder / f"{hashlib.blake2b(key, digest_size=20).hexdigest()}.program"


def _digest(key: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(len(key).to_bytes(8, "big") + key + payload, digest_size=DIGEST).digest()


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The files of programs, finished or not. Other processes may remove files meanwhile."""
    found = []
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith((".program", ".part")):
                with suppress(OSError):
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
    return found


def _make_room(folder: Path) -> None:
    """Remove what was used least recently until the folder is small enough, and unfinished files left behind."""
    files = sorted(_files(folder), key=lambda file: file[1].st_mtime)
    total = sum(found.st_size for _, found in files)
    full = total > MOST_BYTES
    for path, found in files:
        abandoned = path.suffix == ".part" and time.time() - found.st_mtime > ABANDONED
        if abandoned or (full and total > KEPT_SHARE * MOST_BYTES and path.suffix != ".part"):
            with suppress(OSError):
                path.unlink(missing_ok=True)
                total -= found.st_size
