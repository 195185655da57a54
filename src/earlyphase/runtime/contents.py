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
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

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

Entry: TypeAlias = "os.stat_result | ZipInfo | None"


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
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a name with a zero in it
        raise InvalidInput(f"{place.absolute()} does not exist; path must name a folder or a .zip") from None
    except OSError as error:
        raise InvalidInput(f"{place} cannot be read: {error.strerror}") from None
    return place


def listing(place: Path) -> dict[str, Entry]:
    """List what a folder or zip holds.

    Hidden files and folders (their names begin with a dot) and those of `PASSED_OVER` are left out. Links
    are followed, except one that leads back to a folder that it lies in: so a folder that links to itself,
    or two that link to each other, come to an end. Names in a zip are read as UTF-8 where they are, whether
    or not the zip says so, and backslashes separate folders where a name has them in place of "/", as some
    programs for Windows write. Of two entries with one name the later counts.

    Args:
        place: as `located` returns.

    Returns:
        Path below `place`, its parts joined by "/" -> the file's status, None where it cannot be had (a link
        to nothing), or the zip's entry. The path of a folder ends in "/"; a zip need not list its folders.

    Raises:
        InvalidInput: `place` is neither a folder nor a whole zip, or a folder cannot be listed.
    """
    return _files(place) if place.is_dir() else dict(_members(place))


def is_image(name: str) -> bool:
    """Whether a file of this name has an extension of `IMAGE_SUFFIXES`, in any case."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def content_digest(place: Path, cache: Path) -> str:
    """Return a SHA-256 over the path and content of each image below `place`.

    Where there is no image, all files count; a single file that is no zip counts as it is. So data sets of
    other kinds of files can be watched too.

    Of a zip, names, sizes and CRC-32 are taken from its table of contents. That is enough: whoever reads a
    member has the same CRC compared with its content, so the table cannot belong to other content; and a
    changed file keeps size and CRC together by chance once in four thousand million times. Packing the same
    files anew changes nothing.

    The digest is remembered, and no file is read again while each has the size, the time of change and the
    time of change of its status that it had; copying and unpacking can set back the first of these times, but
    not the second. Nothing is remembered where a file changed within two seconds of the look, since a
    further change could fall in the same tick of the clock.

    Args:
        place: a folder, a zip or another file.
        cache: a file for what is remembered. Where it is damaged, of another place or cannot be written, all
            files are read; no result depends on it.

    Returns:
        64 hexadecimal digits; the same for any order of files and for a copy elsewhere.

    Raises:
        InvalidInput: `place` does not exist, or a folder in it cannot be listed. A file that cannot be read
            is not refused here but where it is used.
    """
    place, now = located(place), time.time_ns()
    files: dict[str, Entry] = listing(place) if place.is_dir() else {"": place.stat()}
    times = {
        name: [getattr(files[name], key, 0) for key in ("st_mtime_ns", "st_ctime_ns", "st_size")]
        for name in _counting(files)
    }
    looked_at = hashlib.sha256(repr((str(place.absolute()), sorted(times.items()))).encode()).hexdigest()
    with suppress(OSError, ValueError, TypeError):  # nothing is remembered, or it is damaged
        digest, remembered = json.loads(cache.read_bytes())
        if remembered == looked_at:
            return digest
    if place.is_dir():
        digest = _digest({name: _file_hash(place / name) for name in times})
    else:
        digest = _archive_hash(place)
    if all(abs(now - changed) > FRESH for changes in times.values() for changed in changes[:2]):
        with suppress(OSError):  # whoever may not write here only waits longer next time
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps([digest, looked_at]), encoding="utf-8")
    return digest


def _files(place: Path) -> dict[str, Entry]:
    """List a folder."""

    def refuse(error: OSError) -> NoReturn:
        raise InvalidInput(
            f"{error.filename} cannot be listed: {error.strerror}; make it readable or move it away"
        ) from None

    found: dict[str, Entry] = {}
    for folder, below, files in os.walk(place, followlinks=True, onerror=refuse):
        here = Path(folder)
        around = {os.path.realpath(outer) for outer in (here, *here.parents) if outer.is_relative_to(place)}
        below[:] = [
            name for name in below if not _passed_over(name) and os.path.realpath(here / name) not in around
        ]
        prefix = "".join(f"{part}/" for part in here.relative_to(place).parts)
        found |= {f"{prefix}{name}/": None for name in below}
        for name in files:
            status = None
            with suppress(OSError):  # of a link to nothing or to itself
                status = (here / name).stat()
            regular = status is None or stat.S_ISREG(status.st_mode)  # to open a pipe would wait for ever
            if regular and not _passed_over(name):
                found[f"{prefix}{name}"] = status
    return found


def _passed_over(name: str) -> bool:
    return name[0] == "." or name in PASSED_OVER


def _members(place: Path) -> dict[str, "ZipInfo"]:
    """List a zip."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(place) as archive:
            entries = archive.infolist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        raise InvalidInput(f"{place} is neither a folder nor a whole .zip archive") from None
    found = {}
    for entry in entries:
        name = entry.filename
        if not entry.flag_bits & 0x800:  # no claim to be UTF-8; macOS writes it without one
            with suppress(UnicodeError):
                name = name.encode("cp437").decode()
        name = name if "/" in name else name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if parts and not any(map(_passed_over, parts)):
            found["/".join(parts) + "/" * name.endswith("/")] = entry
    return found


def _counting(names: Iterable[str]) -> list[str]:
    """Names of the images, or of all files where there are none."""
    files = [name for name in names if not name.endswith("/")]
    return [name for name in files if is_image(name)] or files


def _file_hash(path: Path) -> str:
    """SHA-256 of a file's content, or a word for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def _archive_hash(place: Path) -> str:
    """Digest of the files that count in a zip; of another file, its own hash."""
    try:
        found = _members(place)
    except InvalidInput:
        return _file_hash(place)
    return _digest({name: f"{found[name].file_size} {found[name].CRC}" for name in _counting(found)})


def _digest(hashes: dict[str, str]) -> str:
    """SHA-256 over paths and hashes: no path holds the zero byte after it, no hash the line's end."""
    lines = "".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
