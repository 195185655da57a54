"""What a folder or zip holds: the digest changes with the content, whatever else happens to the files."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.runtime import contents
from earlyphase.runtime.contents import IMAGE_SUFFIXES, content_digest, is_image, listing

FILES = {
    f"{split}/{label}/{i}.png": os.urandom(40)
    for split in ("train", "test")
    for label in "ab"
    for i in range(3)
}
MINUTE = 60_000_000_000  # nanoseconds


def write(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def packed(place: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(place, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return place


@pytest.fixture
def later(monkeypatch):
    """A function that lets a minute pass for whoever asks what time it is."""
    now = time.time_ns

    def pass_a_minute() -> None:
        monkeypatch.setattr(contents.time, "time_ns", lambda: now() + MINUTE)

    return pass_a_minute


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The paths that were opened to be hashed."""
    opened, original = [], hashlib.file_digest

    def recorded(file, name):
        opened.append(file.name)
        return original(file, name)

    monkeypatch.setattr(hashlib, "file_digest", recorded)
    return opened


def look(place: Path) -> str:
    """Look as if for the first time."""
    return content_digest(place, place.parent / os.urandom(8).hex())


def test_the_extensions_are_those_that_pillow_opens_and_decodes():
    Image.init()
    formats = {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}

    def is_recognised_only(kind: str) -> bool:
        factory = Image.OPEN[kind][0]
        return kind == "MPEG" or (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))

    decoded = {suffix for suffix, kind in formats.items() if not is_recognised_only(kind)}
    assert decoded <= IMAGE_SUFFIXES
    built_in_or_not = {".avif", ".avifs", ".webp", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"}
    assert IMAGE_SUFFIXES - decoded <= built_in_or_not
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_looking_imports_no_library_that_takes_long(tmp_path):
    write(tmp_path / "images", FILES)
    packed(tmp_path / "images.zip", FILES)
    program = (
        "import sys; from pathlib import Path; from earlyphase.runtime import contents\n"
        "for place in ('images', 'images.zip'):\n"
        "    contents.content_digest(Path(place), Path('cache'))\n"
        "assert not {'numpy', 'PIL', 'torch', 'pandas', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


# What changes the digest, of a folder and of a zip


def without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: content for other, content in files.items() if other != name}


FIRST, SECOND = "train/a/0.png", "train/b/0.png"


@pytest.mark.parametrize("make", [write, packed])
@pytest.mark.parametrize(
    "change",
    [
        lambda files: files | {"train/a/new.jpg": b"x"},
        lambda files: files | {"train/a/new.JPG": b""},
        lambda files: without(files, FIRST),
        lambda files: files | {FIRST: files[FIRST][:-1] + b"?"},
        lambda files: files | {FIRST: files[FIRST] + b"?"},
        lambda files: files | {FIRST: files[SECOND], SECOND: files[FIRST]},
        lambda files: without(files, FIRST) | {"train/a/00.png": files[FIRST]},
        lambda files: without(files, FIRST) | {"train/b/00.png": files[FIRST]},
    ],
    ids=["added", "added empty", "removed", "changed", "longer", "exchanged", "renamed", "moved"],
)
def test_a_change_of_the_images_changes_the_digest(tmp_path, make, change):
    assert look(make(tmp_path / "before", FILES)) != look(make(tmp_path / "after", change(FILES)))


@pytest.mark.parametrize("make", [write, packed])
def test_what_is_passed_over_does_not_change_the_digest(tmp_path, make):
    names = [
        "train/a/Thumbs.db",
        "train/a/.hidden.png",
        ".cache/0.png",
        "__MACOSX/0.png",
        "a/@eaDir/0.png",
        "notes",
    ]
    clutter = dict.fromkeys(names, b"x")
    assert look(make(tmp_path / "before", FILES)) == look(make(tmp_path / "after", FILES | clutter))


def test_order_times_and_packing_do_not_change_the_digest(tmp_path):
    turned = dict(reversed(FILES.items()))
    assert look(write(tmp_path / "one", FILES)) == look(write(tmp_path / "other", turned))
    assert look(packed(tmp_path / "one.zip", FILES)) == look(
        packed(tmp_path / "other.zip", turned, zipfile.ZIP_DEFLATED)
    )


def test_what_is_watched_is_what_is_read(tmp_path):
    """Change each file of a folder with every oddity in turn: the digest changes just where the arrays do."""
    place = tmp_path / "images"
    unread = ["train/b/.4.png", "train/@eaDir/5/0.png", "train/b/__MACOSX/6.png", "train/b/7.txt"]
    names = [*FILES, "train/a/deeper/3.PNG", *unread]
    for shade, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (shade, 2 * shade, 255 - shade)).save(place / name, "PNG")
    (place / "train/b/loop").symlink_to("..")

    def seen() -> tuple[str, bytes, bytes]:
        data = dataset["imagefolder"](path=str(place), size=2)
        return look(place), data.train_images.tobytes(), data.test_images.tobytes()

    whole = seen()
    for name in names:
        before = (place / name).read_bytes()
        (place / name).write_bytes((place / (SECOND if name == FIRST else FIRST)).read_bytes())
        assert [new != old for new, old in zip(seen(), whole, strict=True)].count(True) == 2 * (
            name not in unread
        )
        (place / name).write_bytes(before)


# What is remembered


@pytest.fixture
def seen(tmp_path, later) -> tuple[Path, Path, str]:
    """A folder of images that has been looked at, what is remembered of it, and its digest."""
    place, cache = write(tmp_path / "images", FILES), tmp_path / "cache"
    later()
    return place, cache, content_digest(place, cache)


@pytest.mark.parametrize("make", [write, packed])
def test_a_second_look_reads_nothing(tmp_path, later, reads, monkeypatch, make):
    place, cache = make(tmp_path / "images", FILES), tmp_path / "cache" / "of.json"
    later()
    first = content_digest(place, cache)
    assert cache.is_file()
    reads.clear()
    monkeypatch.setattr("zipfile.ZipFile", None)
    written = cache.stat().st_mtime_ns
    assert content_digest(place, cache) == first
    assert not reads
    assert cache.stat().st_mtime_ns == written
    assert os.listdir(cache.parent) == ["of.json"]  # noqa: PTH208


def test_a_touched_file_is_read_again_and_found_the_same(seen, reads):
    place, cache, first = seen
    (place / FIRST).touch()
    assert content_digest(place, cache) == first
    assert str(place / FIRST) in reads


def test_a_change_is_seen_though_size_and_time_are_set_back(seen):
    place, cache, first = seen
    status = (place / FIRST).stat()
    (place / FIRST).write_bytes(FILES[SECOND])  # as cp -p and unzip leave a file
    os.utime(place / FIRST, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digest(place, cache) != first
    assert content_digest(place, cache) == look(place)


def test_two_files_of_one_size_and_time_exchanged_are_seen(tmp_path, later):
    place, cache = write(tmp_path / "images", FILES), tmp_path / "cache"
    for name in (FIRST, SECOND):
        os.utime(place / name, ns=(MINUTE, MINUTE))
    later()
    first = content_digest(place, cache)
    (place / FIRST).rename(place / "aside")
    (place / SECOND).rename(place / FIRST)
    (place / "aside").rename(place / SECOND)
    assert content_digest(place, cache) != first


def test_nothing_is_remembered_of_files_that_may_change_in_the_same_tick_of_the_clock(tmp_path):
    place, cache = write(tmp_path / "images", FILES), tmp_path / "cache"
    content_digest(place, cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b"null", b'["00", "00"]', b'{"a": 1, "b": 2}', b"\xff"]
)
def test_a_damaged_memory_is_no_obstacle(seen, damaged):
    place, cache, first = seen
    cache.write_bytes(damaged)
    assert content_digest(place, cache) == first
    assert cache.read_bytes() != damaged


def test_a_memory_of_another_place_is_not_used(tmp_path, seen):
    other, cache, _ = seen
    moved = other.rename(tmp_path / "moved")
    shutil.copytree(moved, other)
    (other / FIRST).write_bytes(FILES[SECOND])
    status = (moved / FIRST).stat()
    os.utime(other / FIRST, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digest(other, cache) == look(other)


def test_where_nothing_may_be_written_all_is_read(tmp_path, seen):
    place, _, first = seen
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file" / "cache", tmp_path, Path("/proc/cache")):
        assert content_digest(place, cache) == first


# Places and files of other kinds


@pytest.mark.parametrize("path", ["nowhere", "~", "~nobody-of-this-name/images"])
def test_a_place_that_does_not_exist_is_refused_as_by_the_data_set(tmp_path, monkeypatch, path):
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    with pytest.raises(InvalidInput, match=r"does not exist; path must name a folder or a \.zip") as refusal:
        content_digest(Path(path), tmp_path / "cache")
    with pytest.raises(InvalidInput) as of_data_set:
        dataset["imagefolder"](path=path, size=8)
    assert str(refusal.value) == str(of_data_set.value)


def test_a_place_that_may_not_be_looked_at_is_refused_in_words(tmp_path):
    with pytest.raises(InvalidInput, match="File name too long"):
        content_digest(tmp_path / ("x" * 300), tmp_path / "cache")


def test_other_kinds_of_files_are_watched_too(tmp_path):
    for name in ("table.csv", "arrays.npz", "folder"):
        before, after = (tmp_path / when / name for when in ("before", "after"))
        for place, content in ((before, b"1"), (after, b"2")):
            place.parent.mkdir(exist_ok=True)
            if name == "folder":
                write(place, {"x.npy": content})
            elif name == "arrays.npz":
                packed(place, {"x.npy": content})
            else:
                place.write_bytes(content)
        assert look(before) != look(after)
        assert look(before) == look(before)


def test_a_file_that_cannot_be_read_does_not_stop_the_look(tmp_path):
    place = write(tmp_path / "images", FILES)
    digests = [look(place)]
    (place / "train/a/new.png").symlink_to("gone.png")
    digests.append(look(place))
    (place / "train/a/gone.png").write_bytes(b"x")
    assert len({*digests, look(place)}) == 3


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    place, original = write(tmp_path / "images", FILES), os.scandir

    def scandir(folder):
        if folder.rstrip("/").endswith("train/b"):
            raise PermissionError(13, "Permission denied", folder)
        return original(folder)

    monkeypatch.setattr(contents.os, "scandir", scandir)
    with pytest.raises(InvalidInput, match=r"images/train/b cannot be listed: Permission denied; make it"):
        look(place)


def test_names_that_are_no_text_are_told_apart(tmp_path, later):
    names = [os.fsdecode(b"a/\xfe.png"), os.fsdecode(b"a/\xff.png"), "a/ÿ.png", "a/\n.png"]
    places = [write(tmp_path / str(i), FILES | {name: b"x"}) for i, name in enumerate(names)]
    later()
    first, second = ([content_digest(place, place / ".cache") for place in places] for _ in range(2))
    assert first == second and len(set(first)) == len(names)


def test_links_in_circles_come_to_an_end_and_others_are_followed(tmp_path):
    place = write(tmp_path / "images", FILES)
    (place / "train" / "a" / "loop").symlink_to(".")
    (place / "top").symlink_to("../images")
    assert {name for name in listing(place) if is_image(name)} == set(FILES)
    write(tmp_path / "elsewhere", {"9.png": b"x"})
    (place / "train" / "a" / "more").symlink_to(tmp_path / "elsewhere")
    assert {name for name in listing(place) if is_image(name)} == {*FILES, "train/a/more/9.png"}
