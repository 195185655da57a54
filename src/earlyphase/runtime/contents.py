"""What a folder or zip holds: which of its files count, and one digest over them.

A data set asks which files to read, and the workflow asks, whenever it plans, whether they are still those
that the data set was prepared from. Both ask `listing`, so what is watched is what is read. No fingerprint of
code covers this module, and none is needed: an edit that lists other files or other names changes the digest,
and with it what has to be prepared again.

It is called at planning time, so it imports neither NumPy nor PIL.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from earlyphase.errors import InvalidInput

if TYPE_CHECKING:
    from zipfile import ZipInfo

# The extensions that Pillow decodes, in small letters. Of those it knows, the ones are left out that it only
# recognises: .h5, .hdf, .bufr, .grib, .mpg, .mpeg and, outside Windows, .wmf, .emf.
# fmt: off
IMAGE_SUFFIXES = frozenset([
    ".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".eps",
    ".fit", ".fits", ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".gif", ".icb", ".icns", ".ico",
    ".iim", ".im", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx",
    ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".ps", ".psd", ".pxr",
    ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp",
    ".xbm", ".xpm",
])
# fmt: on
# What systems put into folders: macOS, Synology's servers (thumbnails, in every folder), Windows, Linux.
PASSED_OVER = frozenset(["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
FRESH = 2_000_000_000  # nanoseconds; the coarsest clock of a file system, FAT's, ticks every two seconds
FORMAT = 1  # of what is remembered; raise it when the same zip would be listed or digested differently


class Listing(NamedTuple):
    """What stands below a folder or in a zip, by paths whose parts are joined by "/"; in no certain order.

    Args:
        folders: every folder.
        files: file with one of the extensions asked for -> its status, None where it cannot be had (a link to
            nothing), or the zip's entry.
        others: files with another extension or none.
    """

    folders: list[str]
    files: dict[str, "os.stat_result | ZipInfo | None"]
    others: list[str]


def located(path: str | Path) -> Path:
    """Return the folder or file that `path` means, with ~ for the user's own folder.

    Raises:
        InvalidInput: it does not exist, or may not be looked at.
    """
    place = Path(path)
    with suppress(RuntimeError):  # ~nobody: then it is a name like any other
        place = place.expanduser()
    try:
        place.stat()  # `exists` says no since Python 3.14 where it cannot look
        exists = True
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a name with a zero in it
        exists = False
    except OSError as error:
        raise InvalidInput(f"{place} cannot be read: {error.strerror}") from None
    if not exists:
        raise InvalidInput(f"{place} does not exist; path must name a folder or a .zip")
    return place


def listing(place: Path, suffixes: frozenset[str]) -> Listing:
    """List what a folder or zip holds.

    Hidden files and folders (their names begin with a dot) and those of `PASSED_OVER` are left out. Links
    are followed, except one that leads back to a folder that it lies in: so a folder that links to itself,
    or two that link to each other, come to an end. Names in a zip are read as UTF-8 where they are, whether
    or not the zip says so, and backslashes separate folders where a name has them in place of "/", as some
    programs for Windows write. Of two entries with one name the later counts.

    Args:
        place: as `located` returns.
        suffixes: extensions in small letters, with their dot; files have them in any case. Empty: all files.

    Raises:
        InvalidInput: `place` is neither a folder nor a whole zip, or a folder cannot be listed.
    """
    return _listed_folder(place, suffixes) if place.is_dir() else _listed_zip(place, suffixes)


def content_digest(place: Path, cache: Path, suffixes: frozenset[str]) -> str:
    """Return a SHA-256 over the path and content of each file below `place` with one of `suffixes`.

    Where no file has such an extension, all files count; a single file that is no zip counts as it is. So
    data sets of other kinds of files can be watched too.

    Of a zip, names, sizes and CRC-32 are taken from its table of contents. That is enough: whoever reads a
    member has the same CRC compared with its content, so the table cannot belong to other content; and a
    changed file keeps size and CRC together by chance once in four thousand million times. Packing the same
    files anew changes nothing.

    Of a folder, each file is hashed once. A file whose size, time of change and time of change of its status
    are as remembered is not read again; copying and unpacking can set back the first of these times, but not
    the second. Files that changed within two seconds before the look are not remembered, since a further
    change could fall in the same tick of the clock.

    Args:
        place: a folder, a zip or another file.
        cache: a file for what is remembered of this `place`, replaced as a whole. Where it is damaged,
            belongs to another place or cannot be written, everything is read; no result depends on it.
        suffixes: as `listing`, mostly `IMAGE_SUFFIXES`.

    Returns:
        64 hexadecimal digits; the same for any order of files and for a copy elsewhere.

    Raises:
        InvalidInput: `place` does not exist, or a folder in it cannot be listed. A file that cannot be read
            is not refused here but where it is used.
    """
    place = located(place)
    memory = _Memory(cache, place, suffixes)
    if place.is_dir():
        digest = _folder_hash(place, suffixes, memory)
    else:
        digest = memory.hash_of("", place.stat(), lambda: _archive_hash(place, suffixes))
    memory.save()
    return digest


def _passed_over(name: str) -> bool:
    return name[0] == "." or name in PASSED_OVER


def _counts(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a file of this name has one of `suffixes`; with none given, any file."""
    return not suffixes or name[name.rfind(".") :].lower() in suffixes


def _listed_folder(place: Path, suffixes: frozenset[str]) -> Listing:
    """List a folder; each folder that waits for its turn comes with the real folders on the way to it."""
    found = Listing([], {}, [])
    status = place.stat()
    waiting = [("", frozenset([(status.st_dev, status.st_ino)]))]
    while waiting:
        folder, above = waiting.pop()
        for entry in _entries(f"{place}/{folder}"):
            name, status = folder + entry.name, _status(entry, suffixes)
            if status is not None and stat.S_ISDIR(status.st_mode):
                real = status.st_dev, status.st_ino
                if real not in above:
                    found.folders.append(name)
                    waiting.append((f"{name}/", above | {real}))
            elif not _counts(name, suffixes):
                found.others.append(name)
            elif status is None or stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
                found.files[name] = status
    return found


def _entries(folder: str) -> list[os.DirEntry]:
    """What is in a folder, except what is passed over."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _passed_over(entry.name)]
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be listed: {error.strerror}; make it readable or move it away"
        ) from None


def _status(entry: os.DirEntry, suffixes: frozenset[str]) -> os.stat_result | None:
    """Status of a folder, or of a file that counts; None for other files and where there is none."""
    with suppress(OSError):  # a link to nothing or to itself
        if entry.is_dir() or _counts(entry.name, suffixes):
            return entry.stat()
    return None


def _listed_zip(place: Path, suffixes: frozenset[str]) -> Listing:
    """List a zip, with folders that only the names of files imply."""
    import zipfile

    found, folders = Listing([], {}, []), set()
    try:
        with zipfile.ZipFile(place) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise InvalidInput(f"{place} is neither a folder nor a whole .zip archive") from None
    for entry in entries:
        name = _member_name(entry)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if any(map(_passed_over, parts)):
            continue
        is_folder = name.endswith("/")
        folders |= {"/".join(parts[:end]) for end in range(1, len(parts) + is_folder)}
        name = "/".join(parts)
        if _counts(name, suffixes) and not is_folder:
            found.files[name] = entry
        elif not is_folder:
            found.others.append(name)
    return found._replace(folders=sorted(folders), others=sorted(set(found.others)))


def _member_name(entry: "ZipInfo") -> str:
    """Name of a zip's entry, with "/" between its folders and at the end of a folder's."""
    name = entry.filename
    if not entry.flag_bits & 0x800:  # no claim to be UTF-8; macOS writes it without one
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name if "/" in name else name.replace("\\", "/")


def _file_hash(path: str) -> str:
    """SHA-256 of a file's content, or a word for one that cannot be read."""
    digest = hashlib.sha256()
    try:
        with FileIO(path) as file:
            while part := file.read(1 << 18):
                digest.update(part)
    except OSError:
        return "unreadable"
    return digest.hexdigest()


def _folder_hash(place: Path, suffixes: frozenset[str], memory: "_Memory") -> str:
    """Digest of the files that count in a folder."""
    files = listing(place, suffixes).files or listing(place, frozenset()).files
    hashes = {
        name: memory.hash_of(name, status, lambda name=name: _file_hash(f"{place}/{name}"))
        for name, status in files.items()
    }
    return _digest(hashes)


def _archive_hash(place: Path, suffixes: frozenset[str]) -> str:
    """Digest of the files that count in a zip; of another file, its own hash."""
    try:
        found = _listed_zip(place, suffixes)
    except InvalidInput:
        return _file_hash(str(place))
    if not found.files:
        found = _listed_zip(place, frozenset())
    return _digest({name: f"{entry.file_size} {entry.CRC}" for name, entry in found.files.items()})


def _digest(hashes: dict[str, str]) -> str:
    """SHA-256 over paths and hashes: no path holds the zero byte after it, no hash the line's end."""
    lines = "".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


class _Memory:
    """Hashes of the files of one place, remembered from look to look by size and times."""

    def __init__(self, cache: Path, place: Path, suffixes: frozenset[str]) -> None:
        self.cache = cache
        self.settled = time.time_ns() - FRESH  # what changed later is not remembered
        self.subject = {"format": FORMAT, "place": str(place.absolute()), "suffixes": sorted(suffixes)}
        self.known: dict[str, list] = {}
        self.seen: dict[str, list] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):  # none, or damaged
            remembered = json.loads(cache.read_bytes())
            files = remembered.pop("files")
            if remembered == self.subject and all(len(entry) == 4 for entry in files.values()):
                self.known = files

    def hash_of(self, name: str, status: os.stat_result | None, compute: Callable[[], str]) -> str:
        """Return what is remembered of a file, or `compute` it; `status` was taken before either."""
        if status is None:
            return compute()
        times = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = self.known.get(name)
        if entry is None or entry[:3] != times:
            entry = [*times, compute()]
        if max(times[1:]) < self.settled and entry[3] != "unreadable":
            self.seen[name] = entry
        return entry[3]

    def save(self) -> None:
        """Write what was seen, where it is news; whoever may not write here only waits longer next time."""
        if self.seen == self.known:
            return
        temporary = self.cache.with_name(f".{self.cache.name}.{os.getpid()}.part")
        with suppress(OSError):
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps(self.subject | {"files": self.seen}, separators=(",", ":"))
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(self.cache)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
