"""Data sets: held to independent answers and to properties, without a network."""

import errno
import gzip
import hashlib
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from earlyphase.datasets import DataSet, dataset
from earlyphase.datasets.sampling import stratified
from earlyphase.errors import InvalidInput

EMBEDDED = ["photo_digits", "digits", "synthetic"]


def arrays(data: DataSet) -> list[np.ndarray]:
    return [data.train_images, data.train_labels, data.test_images, data.test_labels, data.mean, data.std]


def equal(one: DataSet, other: DataSet) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# What every data set promises


@pytest.fixture
def data() -> DataSet:
    return dataset["synthetic"](train=8, test=8)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets_are_fixed_by_their_seed(name):
    function = dataset[name]
    assert equal(function(seed=3), function(seed=3))
    assert not np.array_equal(function(seed=3).train_images, function(seed=4).train_images)


@pytest.mark.parametrize("name", EMBEDDED)
def test_mean_and_std_are_those_of_the_training_pixels_and_provenance_is_complete(name):
    data = dataset[name]()
    pixels = data.train_images / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(axis=(0, 2, 3)), rtol=1e-6)
    assert {"source", "licence", "made"} <= data.provenance.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"train_images": d.train_images.astype(np.float32)}, "train images must be uint8"),
        (lambda d: {"train_images": d.train_images[:, 0]}, "train images must be uint8 (N, C, H, W)"),
        (lambda d: {"test_images": d.test_images.transpose(0, 1, 3, 2)}, "test images must be uint8"),
        (lambda d: {"test_images": d.test_images[:, :, 1:].copy()}, "test images are (3, 7, 8) but train"),
        (lambda d: {"train_labels": d.train_labels.astype(np.int32)}, "train labels must be int64"),
        (lambda d: {"train_labels": d.train_labels[1:]}, "train has 8 images but 7 labels"),
        (lambda d: {"test_images": d.test_images[:0], "test_labels": d.test_labels[:0]}, "test is empty"),
        (
            lambda d: {"train_images": d.train_images[:1], "train_labels": d.train_labels[:1]},
            "train has one image, but training needs at least 2",
        ),
        (
            lambda d: {
                "train_labels": d.train_labels * 0,
                "test_labels": d.test_labels * 0,
                "classes": ("a",),
            },
            "classes are: 'a'; a classifier needs two classes",
        ),
        (lambda d: {"test_labels": d.test_labels + 1}, "label 4, but 4 classes allow 0 to 3"),
        (lambda d: {"train_labels": d.train_labels - 1}, "label -1, but 4 classes allow 0 to 3"),
        (lambda d: {"test_labels": d.test_labels % 3}, "test has no image of class 'class3'"),
        (lambda d: {"classes": (*d.classes, "unicorn")}, "train has no image of class 'unicorn'"),
        (lambda d: {"mean": d.mean.astype(np.float64)}, "mean must be 3 finite float32"),
        (lambda d: {"mean": d.mean[:2]}, "mean must be 3 finite float32"),
        (lambda d: {"std": d.std * np.nan}, "std must be 3 finite float32"),
        (lambda d: {"std": d.std * np.float32([1, 0, 1])}, "std of channel 1 is 0.0"),
    ],
)
def test_a_set_that_training_could_not_read_is_refused(data, change, message):
    with pytest.raises(InvalidInput) as refusal:
        replace(data, **change(data))
    assert message in str(refusal.value)


def test_embedded_sets_do_not_import_torch():
    program = (
        "import sys; from earlyphase.datasets import dataset\n"
        "assert not {'PIL', 'sklearn'} & set(sys.modules)\n"
        f"for name in {EMBEDDED}: dataset[name]()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Digits, over photographs and plain


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_a_stratified_split_gives_every_class_its_share(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    test = round(share * len(labels))
    for_train, for_test = stratified(labels, test, np.random.default_rng(seed))
    assert len(for_test) == test
    assert sorted([*for_train, *for_test]) == list(range(len(labels)))
    found = np.bincount(labels[for_test], minlength=len(counts))
    assert np.all(np.abs(found - np.array(counts) * test / len(labels)) < 1)


def test_digits_are_scikit_learns_each_in_one_split():
    from sklearn.datasets import load_digits

    data = dataset["digits"](test=360)
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    original = load_digits()
    expected = {
        row.astype(int).tobytes(): label for row, label in zip(original.data, original.target, strict=True)
    }
    ours = {}
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        rows = np.round(images.reshape(-1, 64) / 255 * 16).astype(int)
        ours |= {row.tobytes(): label for row, label in zip(rows, labels, strict=True)}
    assert len(ours) == 1797  # so none is in both splits
    assert ours == expected


def with_photos(monkeypatch, photo: np.ndarray) -> None:
    bunch = SimpleNamespace(images=[photo, photo])
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: bunch)


def test_no_digit_of_the_photo_digits_is_in_both_splits(monkeypatch):
    from sklearn.datasets import load_digits

    with_photos(monkeypatch, np.zeros((427, 640, 3), np.uint8))  # over black a digit is seen as it is
    data = dataset["photo_digits"](train=3000, test=3000)

    original = load_digits()
    known = {}
    for grey, label in zip(original.images, original.target, strict=True):
        known[np.round(grey / 16 * 255).astype(np.uint8).tobytes()] = label
    assert len(known) == 1797

    def recovered(images, labels):
        found = set()
        for image, label in zip(images, labels, strict=True):
            digit = image[0].tobytes()
            assert known[digit] == label
            found.add(digit)
        return found

    for_train = recovered(data.train_images, data.train_labels)
    for_test = recovered(data.test_images, data.test_labels)
    assert len(for_train) > 1000
    assert len(for_test) > 300
    assert not for_train & for_test


def test_no_half_of_a_photograph_is_in_both_splits(monkeypatch):
    y, x = np.mgrid[:427, :640]
    place = np.stack([x % 256, x // 256, y % 256], axis=2).astype(np.uint8)  # a pixel tells where it is from
    with_photos(monkeypatch, place)
    blank = SimpleNamespace(images=np.zeros((1797, 8, 8)), target=np.arange(1797) % 10)
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: blank)
    data = dataset["photo_digits"](train=3000, test=3000)
    for images, begin, end in ((data.train_images, 0, 320), (data.test_images, 320, 640)):
        columns = images[:, 0] + 256 * images[:, 1].astype(int)
        assert np.all(np.diff(columns, axis=2) == 1)  # a window, as it was
        assert np.all(np.diff(images[:, 2], axis=1) == 1)
        assert columns.min() == begin
        assert columns.max() == end - 1


def test_digits_and_photographs_meet_by_absolute_difference(monkeypatch):
    images = {}
    for grey in (0, 100, 255):
        with_photos(monkeypatch, np.full((427, 640, 3), grey, np.uint8))
        images[grey] = dataset["photo_digits"](train=50, test=50).train_images.astype(int)
    assert np.array_equal(images[255], 255 - images[0])
    assert np.array_equal(images[100], np.abs(100 - images[0]))


def test_photographs_are_dimmed_before_digits_are_laid_over_them(monkeypatch):
    with_photos(monkeypatch, np.full((427, 640, 3), 200, np.uint8))
    dimmed = dataset["photo_digits"](train=50, test=50, photo_brightness=0.25).train_images
    with_photos(monkeypatch, np.full((427, 640, 3), 50, np.uint8))
    dark = dataset["photo_digits"](train=50, test=50).train_images
    assert np.array_equal(dimmed, dark)


def test_photo_digits_are_balanced_and_their_splits_independent():
    data = dataset["photo_digits"](train=1005, test=103)
    counts = np.bincount(data.train_labels), np.bincount(data.test_labels)
    assert [(count.min(), count.max()) for count in counts] == [(100, 101), (10, 11)]
    assert data.train_images.shape == (1005, 3, 8, 8)
    more = dataset["photo_digits"](train=2000, test=103)
    assert np.array_equal(data.test_images, more.test_images)
    credits = data.provenance["source"]
    assert all(name in credits for name in ("danielbuechele", "vultilion", "CC BY 2.0", "Alpaydin"))


def test_a_nearest_mean_learns_the_synthetic_set():
    data = dataset["synthetic"]()
    train = data.train_images.reshape(len(data.train_images), -1).astype(float)
    means = np.stack([train[data.train_labels == label].mean(axis=0) for label in range(4)])
    test = data.test_images.reshape(len(data.test_images), 1, -1)
    nearest = ((test - means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(nearest == data.test_labels) > 0.95


# Folders and zips of images


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels))


@pytest.fixture
def pixels() -> dict[str, np.ndarray]:
    """Colour pixels (6, 6, 3) by path, in the order in which they should be read."""
    rng = np.random.default_rng(0)
    paths = [
        f"{split}/{name}/{i}.png" for split in ("train", "test") for name in ("Bee", "ant") for i in "ab"
    ]
    return {path: rng.integers(256, size=(6, 6, 3), dtype=np.uint8) for path in paths}


@pytest.fixture
def files(pixels) -> dict[str, bytes]:
    return {path: png(image) for path, image in pixels.items()}


def write_folder(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = place / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return place


def write_zip(place: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return place


def read_images(place: Path, size: int = 6, **arguments: str) -> DataSet:
    return dataset["imagefolder"](path=str(place), size=size, **arguments)


def test_a_folder_of_images_is_read_exactly_and_in_order(tmp_path, files, pixels):
    data = read_images(write_folder(tmp_path, files))
    assert data.classes == ("Bee", "ant")  # sorted as bytes, so alike everywhere
    expected = np.stack(list(pixels.values())).transpose(0, 3, 1, 2)
    assert np.array_equal(data.train_images, expected[:4])
    assert np.array_equal(data.test_images, expected[4:])
    assert data.train_labels.tolist() == data.test_labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("top", ["", "some pictures/"])
def test_a_zip_and_a_folder_give_the_same_arrays(tmp_path, files, top):
    clutter = {
        "__MACOSX/train/ant/._a.png": b"x",
        ".git/HEAD": b"x",
        "README.md": b"x",
        f"{top}train/labels.csv": b"x",
        f"{top}train/ant/.DS_Store": b"x",
        f"{top}train/.cache/a.png": b"x",
    }
    cluttered = {top + name: content for name, content in reversed(files.items())} | clutter
    plain = read_images(write_folder(tmp_path / "plain", files))
    assert equal(read_images(write_zip(tmp_path / "some.zip", cluttered)), plain)
    assert equal(read_images(write_folder(tmp_path / "cluttered", cluttered)), plain)


def test_images_are_also_found_deeper_and_their_extension_may_be_in_capitals(tmp_path, files):
    plain = read_images(write_folder(tmp_path / "plain", files))
    deeper = {name.replace("a.png", "a/x.PNG"): content for name, content in files.items()}
    assert equal(read_images(write_folder(tmp_path / "deeper", deeper)), plain)


def test_provenance_identifies_the_content(tmp_path, files):
    archive = write_zip(tmp_path / "some.zip", files)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in read_images(archive).provenance["source"]
    folder = write_folder(tmp_path / "folder", files)
    before = read_images(folder).provenance
    assert read_images(shutil.copytree(folder, tmp_path / "elsewhere" / "folder")).provenance == before
    (folder / "train" / "ant" / "a.png").rename(folder / "train" / "ant" / "aa.png")
    assert read_images(folder).provenance != before


def test_images_of_any_kind_become_rgb_of_one_size(tmp_path, files, pixels):
    image = pixels["train/ant/a.png"]
    files["train/ant/a.png"] = encoded(Image.fromarray(image).convert("RGBA"))
    files["train/ant/b.png"] = png(image[..., 0])  # grey
    files["test/ant/a.png"] = png(np.full((9, 3, 3), 77, np.uint8))
    data = read_images(write_folder(tmp_path, files))
    assert np.array_equal(data.train_images[2], image.transpose(2, 0, 1))
    assert np.array_equal(data.train_images[3], np.stack([image[..., 0]] * 3))
    assert np.all(data.test_images[2] == 77)
    assert read_images(tmp_path, size=5).train_images.shape == (4, 3, 5, 5)


def without(files: dict[str, bytes], prefix: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith(prefix)}


@pytest.mark.parametrize("write", [write_folder, write_zip])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: without(files, "test/"), "has no folders test/<class>/; its own folders: train"),
        (lambda files: without(files, "train/"), "has no folders train/<class>/"),
        (lambda files: {"notes.txt": b"x"}, "its own folders: none"),
        (lambda files: without(files, "test/ant/"), "class 'ant' is in train/ but not in test/"),
        (lambda files: without(files, "train/Bee/"), "class 'Bee' is in test/ but not in train/"),
        (lambda files: without(files, "test/ant/") | {"test/ant/": b""}, "test/ant/ holds no images"),
        (
            lambda files: {name: content for name, content in files.items() if "Bee" not in name},
            "classes are: 'ant'; a classifier needs two classes",
        ),
        (
            lambda files: {name.replace("test/ant", "test/Ant"): content for name, content in files.items()},
            "'ant' is in train/ but not in test/; both need every class; test/ has 'Ant', which is written diff",
        ),
        (
            lambda files: {f"mine/{name.capitalize()}": content for name, content in files.items()},
            "has no folders train/<class>/; its own folders: mine/Test, mine/Train",
        ),
        (
            lambda files: without(files, "test/ant/") | {"test/ant/1.HEIC": b"x", "test/ant/notes": b"x"},
            "test/ant/ holds no images; every class needs some (files without an image's extension, which are "
            "passed over: 2 (1.HEIC, notes))",
        ),
        (
            lambda files: {name: png(np.zeros((6, 6, 3), np.uint8)) for name in files},
            "std of channel 0 is 0.0",
        ),
    ],
)
def test_a_folder_or_zip_that_cannot_be_used_is_refused(tmp_path, files, write, change, message):
    with pytest.raises(InvalidInput) as refusal:
        read_images(write(tmp_path / "images", change(files)))
    assert message in str(refusal.value)


def test_a_zip_that_broke_off_is_refused(tmp_path, files):
    archive = write_zip(tmp_path / "some.zip", files)
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match=r"some\.zip is neither a folder nor a whole \.zip"):
        read_images(archive)


# Images as cameras, editors, systems and downloads leave them


def read_one(tmp_path: Path, content: bytes, name: str = "0.png", **arguments: str) -> np.ndarray:
    """What is read of one file, (6, 6, 3), among others in a folder and, which must be the same, in a zip."""
    grey = {
        f"{split}/{label}/9.png": png(np.full((6, 6, 3), 9, np.uint8))
        for split in ("train", "test")
        for label in "ab"
    }
    files = grey | {f"train/a/{name}": content}
    folder = read_images(write_folder(tmp_path / "folder", files), **arguments)
    packed = read_images(write_zip(tmp_path / "packed.zip", files), **arguments)
    assert equal(folder, packed)
    return folder.train_images[0].transpose(1, 2, 0)


# EXIF's table: orientation -> the side of the scene that is the first row, and the first column, of the file
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    rows, columns = SIDES[orientation]
    stored = upright if rows in ("top", "bottom") else upright.swapaxes(0, 1)
    stored = stored[::-1] if rows in ("bottom", "right") else stored
    return np.ascontiguousarray(stored[:, ::-1] if columns in ("bottom", "right") else stored)


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_upright(tmp_path, rng, kind, orientation):
    upright = rng.integers(256, size=(6, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(as_stored(upright, orientation)), kind, exif=exif, **options)
    assert np.array_equal(read_one(tmp_path, content), upright)


def test_a_photograph_is_turned_upright_before_it_is_made_smaller(tmp_path):
    upright = np.zeros((32, 48, 3), np.uint8)  # a quarter of it each: red, green, blue, black
    upright[:16, :24, 0] = upright[:16, 24:, 1] = upright[16:, :24, 2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"quality": 95, "subsampling": 0, "exif": exif}
    content = encoded(Image.fromarray(as_stored(upright, 6)), "JPEG", **options)
    corners = read_one(tmp_path, content, "0.JPG")[::5, ::5].astype(int)
    assert np.abs(corners - [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]]).max() < 16


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0nonsense", bytes(40)]
)
def test_broken_exif_leaves_the_picture_as_it_is(tmp_path, rng, exif):
    pixels = rng.integers(256, size=(6, 6, 3), dtype=np.uint8)
    assert np.array_equal(read_one(tmp_path, encoded(Image.fromarray(pixels), exif=exif)), pixels)


def test_a_picture_is_turned_upright_though_another_tag_cannot_be_written(tmp_path, rng):
    upright = rng.integers(256, size=(6, 6, 3), dtype=np.uint8)
    tags = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\x01\x1a\0\x02\0\0\0\x04abc\0"  # a resolution of letters
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + tags + bytes(4)
    assert np.array_equal(
        read_one(tmp_path, encoded(Image.fromarray(as_stored(upright, 6)), exif=exif)), upright
    )


def cutout(kind: str) -> bytes:
    """The upper half transparent, over colours that an editor left there; the lower half (or palette) 40."""
    alpha = np.repeat(np.uint8([0, 255]), 18).reshape(6, 6)
    hidden = np.where(alpha, 40, 200).astype(np.uint8)
    if kind == "RGBA":
        return encoded(Image.fromarray(np.dstack([hidden] * 3 + [alpha])))
    if kind == "LA":
        return encoded(Image.fromarray(np.dstack([hidden, alpha]), "LA"))
    if kind == "L":
        return encoded(Image.fromarray(hidden), transparency=200)
    if kind == "RGB":
        return encoded(Image.fromarray(np.dstack([hidden] * 3)), transparency=(200, 200, 200))
    palette = Image.fromarray((hidden == 40).astype(np.uint8), "P")
    palette.putpalette([200, 200, 200, 40, 40, 40])
    if kind == "P, each colour's":
        return encoded(palette, transparency=bytes([0, 255]))
    return encoded(palette, kind.split()[1], transparency=0)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("kind", ["RGBA", "LA", "L", "RGB", "P PNG", "P GIF", "P, each colour's"])
@pytest.mark.parametrize(("arguments", "behind"), [({}, 255), ({"background": "black"}, 0)])
def test_what_is_transparent_shows_the_background(tmp_path, kind, arguments, behind):
    image = read_one(tmp_path, cutout(kind), "0.gif" if "GIF" in kind else "0.png", **arguments)
    assert np.all(image[:3] == behind)
    assert np.all(image[3:] == 40)


def test_what_is_half_transparent_is_mixed_with_the_background(tmp_path):
    alpha = np.arange(0, 252, 7, dtype=np.uint8).reshape(6, 6)
    image = np.dstack([np.full((6, 6, 3), 100, np.uint8), alpha])
    share = alpha[..., None] / 255
    for background, level in (("white", 255), ("black", 0)):
        read = read_one(tmp_path / background, png(image), background=background)
        assert np.abs(read - (100 * share + level * (1 - share))).max() <= 1


def test_an_edge_is_not_tinted_by_what_is_hidden_under_transparent_pixels(tmp_path):
    image = np.zeros((60, 60, 4), np.uint8)
    image[..., 1] = 255  # green, all of it hidden
    image[13:47, 13:47] = (200, 200, 200, 255)
    read = read_one(tmp_path, png(image))
    assert np.array_equal(read[..., 0], read[..., 1])


CLUTTER = ("Thumbs.db", "desktop.ini", "0.json", "Icon\r", "notes", "0.png.txt", "clip.mpg")


@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_files_without_an_images_extension_are_passed_over_and_counted(tmp_path, files, capsys, write):
    plain = read_images(write(tmp_path / "plain", files))
    assert "passed over" not in capsys.readouterr().out
    clutter = {f"train/ant/deeper/{name}": b"x" for name in CLUTTER}
    assert equal(read_images(write(tmp_path / "cluttered", files | clutter)), plain)
    said = capsys.readouterr().out
    assert "files without an image's extension, which are passed over: 7 (" in said
    assert sum(name in said for name in CLUTTER) == 5


def test_a_file_name_that_is_no_text_is_no_obstacle(tmp_path, files):
    plain = read_images(write_folder(tmp_path / "plain", files))
    (tmp_path / "plain" / "train" / "ant").rename(tmp_path / "plain" / "train" / os.fsdecode(b"ant\xff"))
    (tmp_path / "plain" / "test" / "ant").rename(tmp_path / "plain" / "test" / os.fsdecode(b"ant\xff"))
    (tmp_path / "plain" / "test" / "Bee" / os.fsdecode(b"\xfe.db")).write_bytes(b"x")
    program = (
        "from earlyphase.datasets import dataset; from earlyphase.runtime.storage import save_tensors\n"
        f"data = dataset['imagefolder'](path={str(tmp_path / 'plain')!r}, size=6)\n"
        f"save_tensors({str(tmp_path / 'out')!r}, 'data set', {{'mean': data.mean}}, classes=list(data.classes))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "passed over: 1 (" in ran.stdout
    assert equal(read_images(tmp_path / "plain"), plain)


BROKEN = {
    "a page that says 404": (
        b"<!DOCTYPE html><html>404 Not Found</html>",
        "it holds an HTML page, not an image",
    ),
    "a page after a blank line": (b"\xef\xbb\xbf\r\n<HTML>", "it holds an HTML page, not an image"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "`git lfs pull` fetches it"),
    "text": (b"{}", "it is in no image format that Pillow knows"),
    "nothing": (b"", "it is empty"),
    "half a download": (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:900], "it is cut short"),
    "grey of 16 bits": (png(np.full((6, 6), 1000, np.uint16)), "more than 8 bits a channel"),
}


@pytest.mark.parametrize("write", [write_folder, write_zip])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_named_with_a_reason_for_people(tmp_path, files, write, kind):
    content, reason = BROKEN[kind]
    with pytest.raises(InvalidInput) as refusal:
        read_images(write(tmp_path / "images", files | {"train/ant/0.jpg": content}))
    assert "train/ant/0.jpg cannot be used as an image" in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it finds
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "TGA", "PCX"])
def test_damage_is_read_or_refused_in_words_wherever_it_is(tmp_path, files, rng, kind):
    whole = encoded(Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)), kind)
    folder = write_folder(tmp_path, files)
    for trial in range(12):
        damaged = bytearray(whole)
        if trial % 2:
            del damaged[rng.integers(len(whole)) :]
        else:
            damaged[rng.integers(min(len(whole), 80))] = rng.integers(256)
        (folder / "train" / "ant" / "0.png").write_bytes(damaged)
        try:
            read_images(folder)
        except InvalidInput as refusal:
            assert re.search(
                r"train/ant/0\.png cannot be used as an image \(\w.*\w\W*\); replace", str(refusal)
            )
            assert " object at 0x" not in str(refusal)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (6, 6), (shade, 0, 0)) for shade in (250, 120, 10)]
    for kind, name in (("GIF", "0.gif"), ("PNG", "0.apng"), ("TIFF", "0.tif")):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.array_equal(read_one(tmp_path / kind, content, name), np.asarray(frames[0]))


def test_colours_for_printing_become_those_of_a_screen(tmp_path):
    red = Image.new("RGB", (6, 6), (250, 10, 20)).convert("CMYK")
    read = read_one(tmp_path, encoded(red, "JPEG", quality=100), "0.jpg").astype(int)
    assert np.abs(read - [250, 10, 20]).max() < 8


def test_colour_of_16_bits_is_taken_at_its_upper_8(tmp_path, rng):
    pixels = rng.integers(256, size=(6, 6, 3), dtype=np.uint8)
    rows = b"".join(b"\0" + np.dstack([row, 255 - row]).tobytes() for row in pixels)  # upper byte, lower byte
    chunks = [
        (b"IHDR", bytes([0, 0, 0, 6, 0, 0, 0, 6, 16, 2, 0, 0, 0])),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    )
    assert np.array_equal(read_one(tmp_path, content), pixels)


# Links


def test_links_are_followed_and_in_a_circle_come_to_an_end(tmp_path, files):
    looped = write_folder(tmp_path / "looped", files)
    (looped / "train" / "ant" / "up").symlink_to("../..")
    (looped / "train" / "ant" / "other").symlink_to("../Bee")
    (looped / "train" / "Bee" / "other").symlink_to("../ant")
    assert np.bincount(read_images(looped).train_labels).tolist() == [4, 4]  # as the links say, and no more


def test_folders_elsewhere_are_followed_as_often_as_they_are_linked(tmp_path, files):
    plain = read_images(write_folder(tmp_path / "plain", files))
    place = tmp_path / "all"
    shutil.copytree(
        tmp_path / "plain", place / "pool"
    )  # beside train/ and test/, whose classes are links to it
    for split in ("train", "test"):
        (place / split).mkdir()
        for name in ("ant", "Bee"):
            (place / split / name).symlink_to(f"../pool/{split}/{name}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train").symlink_to(place / "train")
    (tmp_path / "mine" / "test").symlink_to(place / "test")
    assert equal(read_images(tmp_path / "mine"), plain)
    (tmp_path / "mine" / "test").unlink()
    (tmp_path / "mine" / "test").symlink_to("train")  # whoever tests on the training images says so
    data = read_images(tmp_path / "mine")
    assert np.array_equal(data.train_images, data.test_images)


def test_a_link_to_nothing_and_an_unreadable_file_are_named(tmp_path, files):
    link = write_folder(tmp_path, files) / "train" / "ant" / "0.png"
    for target, reason in (
        ("gone.png", "it is a link to nothing"),
        ("/proc/self/mem", "it cannot be read: "),
    ):
        link.symlink_to(target)  # not even root can read that memory
        with pytest.raises(InvalidInput, match=rf"train/ant/0\.png cannot be used as an image \({reason}"):
            read_images(tmp_path)
        link.unlink()


def test_a_pipe_with_an_images_name_is_no_image(tmp_path, files):
    plain = read_images(write_folder(tmp_path, files))
    os.mkfifo(tmp_path / "train" / "ant" / "0.png")  # to read it would wait for ever
    assert equal(read_images(tmp_path), plain)


# Zips as other programs write them


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f"/{name}",
        lambda name: f"mine//{name}",
    ],
    ids=["backslashes", "dot", "root", "doubled"],
)
def test_a_zip_may_spell_its_folders_in_other_ways(tmp_path, files, rename):
    plain = read_images(write_folder(tmp_path / "plain", files))
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for name, content in {"train/ant/": b"", **files}.items():
            info = zipfile.ZipInfo("x")
            info.filename = rename(name)
            archive.writestr(info, content)
    assert equal(read_images(tmp_path / "odd.zip"), plain)


def with_flag(archive: bytes, flag: int, on: bool) -> bytes:
    """Set or clear a flag of each member, where it stands before the member and in the table of contents."""
    changed = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.find(mark)
        while at >= 0:
            flags = int.from_bytes(archive[at + offset : at + offset + 2], "little")
            flags = flags | flag if on else flags & ~flag
            changed[at + offset : at + offset + 2] = flags.to_bytes(2, "little")
            at = archive.find(mark, at + 1)
    return bytes(changed)


def test_names_in_utf8_are_read_as_such_though_the_zip_does_not_say_so(tmp_path, files):
    files = {name.replace("ant", "Käfer"): content for name, content in files.items()}
    plain = read_images(write_folder(tmp_path / "plain", files))
    archive = write_zip(tmp_path / "finder.zip", files)
    archive.write_bytes(with_flag(archive.read_bytes(), 0x800, on=False))  # as the Finder of macOS
    data = read_images(archive)
    assert data.classes == plain.classes == ("Bee", "Käfer")
    assert equal(data, plain)


def test_a_zip_with_a_password_and_one_with_links_are_refused_in_words(tmp_path, files):
    archive = write_zip(tmp_path / "locked.zip", files)
    archive.write_bytes(with_flag(archive.read_bytes(), 1, on=True))
    with pytest.raises(
        InvalidInput, match=r"train/Bee/a\.png .*it is encrypted; pack the zip without a password"
    ):
        read_images(archive)
    with zipfile.ZipFile(write_zip(tmp_path / "links.zip", files), "a") as archive:
        info = zipfile.ZipInfo("train/ant/0.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "../Bee/a.png")
    with pytest.raises(InvalidInput, match=r"train/ant/0\.png .*it is a link; pack the zip with the files"):
        read_images(tmp_path / "links.zip")


def test_a_member_that_is_damaged_is_named(tmp_path, files):
    archive = write_zip(tmp_path / "some.zip", files)
    content = bytearray(archive.read_bytes())
    content[content.find(b"IDAT", content.find(b"train/ant/a.png")) + 8] ^= 255
    archive.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"train/ant/a\.png .*the zip is damaged there.*CRC"):
        read_images(archive)


CIFAR10_ZIP = os.environ.get("EARLYPHASE_CIFAR10")


@pytest.mark.skipif(
    not CIFAR10_ZIP,
    reason="NOT CHECKED on real CIFAR-10: set EARLYPHASE_CIFAR10 to a zip of train/<class>/, test/<class>/",
)
def test_cifar10_read_from_a_zip_has_the_published_statistics():
    data = read_images(Path(CIFAR10_ZIP), size=32)
    assert data.train_images.shape == (50000, 3, 32, 32)
    assert data.test_images.shape == (10000, 3, 32, 32)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    np.testing.assert_allclose(data.mean, [0.49139968, 0.48215841, 0.44653091], atol=1e-7)
    np.testing.assert_allclose(data.std, [0.24703223, 0.24348513, 0.26158784], atol=1e-7)


# Data sets that torchvision downloads, from small stand-ins served at this machine's own address


class Web(SimpleHTTPRequestHandler):
    """Serves a folder; a server told to `break_off` sends half of what it announces."""

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2] if self.server.break_off else content)


@pytest.fixture
def web(tmp_path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Web, directory=served)) as server:
        server.break_off = False
        server.served = served
        server.url = f"http://127.0.0.1:{server.server_port}/"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Fake(SimpleNamespace):
    """A published data set in small: `kept` is where a download goes, `train` and `test` what it holds."""


def fake_cifar(monkeypatch, web, name: str) -> Fake:
    """Publish ten images a split as torchvision's `name`."""
    import torchvision

    source = getattr(torchvision.datasets, name)
    label_key = "labels" if name == "CIFAR10" else "fine_labels"
    rng = np.random.default_rng(0)
    images, contents = {}, {}
    parts = source.train_list + source.test_list
    for part, _ in parts:
        images[part] = rng.integers(256, size=(10, 3072), dtype=np.uint8)
        contents[part] = pickle.dumps({"data": images[part], label_key: list(range(10))}, protocol=2)
    contents[source.meta["filename"]] = pickle.dumps({source.meta["key"]: list("abcdefghij")}, protocol=2)
    served = web.served / source.filename
    with tarfile.open(served, "w:gz") as tar:
        for part, content in contents.items():
            entry = tarfile.TarInfo(f"{source.base_folder}/{part}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

    def with_sum(pairs):
        return [[part, md5(contents[part])] for part, _ in pairs]

    monkeypatch.setattr(source, "train_list", with_sum(source.train_list))
    monkeypatch.setattr(source, "test_list", with_sum(source.test_list))
    monkeypatch.setattr(source, "meta", source.meta | {"md5": md5(contents[source.meta["filename"]])})
    monkeypatch.setattr(source, "url", web.url + source.filename)
    monkeypatch.setattr(source, "tgz_md5", md5(served.read_bytes()))
    train = np.concatenate([images[part] for part, _ in source.train_list]).reshape(-1, 3, 32, 32)
    return Fake(
        load=dataset[name.lower()],
        kept=Path(source.filename),
        train=train,
        test=images[source.test_list[0][0]].reshape(-1, 3, 32, 32),
    )


def fake_fashion_mnist(monkeypatch, web) -> Fake:
    """Publish ten images a split as Fashion-MNIST."""
    from torchvision.datasets import FashionMNIST

    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(2, 10, 1, 28, 28), dtype=np.uint8)
    contents, published = {}, []
    for split, pixels in zip(("train", "t10k"), images, strict=True):
        sizes = b"".join(size.to_bytes(4, "big") for size in (10, 28, 28))
        contents[f"{split}-images-idx3-ubyte"] = bytes([0, 0, 8, 3]) + sizes + pixels.tobytes()
        contents[f"{split}-labels-idx1-ubyte"] = bytes([0, 0, 8, 1, 0, 0, 0, 10]) + bytes(range(10))
    for name, content in contents.items():
        packed = gzip.compress(content)
        (web.served / f"{name}.gz").write_bytes(packed)
        published.append((f"{name}.gz", md5(packed)))
    monkeypatch.setattr(FashionMNIST, "mirrors", [web.url])
    monkeypatch.setattr(FashionMNIST, "resources", published)
    monkeypatch.setattr(
        "earlyphase.datasets.downloads.FASHION_MNIST_CONTENT",
        {name: md5(content) for name, content in contents.items()},
    )
    return Fake(
        load=dataset["fashion_mnist"],
        kept=Path("FashionMNIST", "raw", "t10k-images-idx3-ubyte.gz"),
        train=images[0],
        test=images[1],
        contents=contents,
    )


@pytest.fixture(params=["CIFAR10", "CIFAR100", "FashionMNIST"])
def fake(request, monkeypatch, web) -> Fake:
    if request.param == "FashionMNIST":
        return fake_fashion_mnist(monkeypatch, web)
    return fake_cifar(monkeypatch, web, request.param)


def assert_read(data: DataSet, fake: Fake) -> None:
    assert np.array_equal(data.train_images, fake.train)
    assert np.array_equal(data.test_images, fake.test)
    assert data.test_labels.tolist() == list(range(10))
    assert data.train_images.flags.writeable  # torch warns of a tensor over memory that is not


def test_a_published_set_is_downloaded_once_and_then_read_offline(fake, web, tmp_path):
    here = tmp_path / "here"
    assert_read(fake.load(directory=str(here)), fake)
    web.served.rename(tmp_path / "gone")
    assert_read(fake.load(directory=str(here), download=True), fake)
    assert_read(fake.load(directory=str(here), download=False), fake)
    assert not list(here.rglob(".partial*"))


def test_the_default_normalisation_is_the_papers_for_cifar_and_its_own_for_fashion(fake, tmp_path):
    data = fake.load(directory=str(tmp_path / "here"))
    expected = fake.train.mean() / 255 if len(data.mean) == 1 else np.float32([0.485, 0.456, 0.406])
    np.testing.assert_allclose(data.mean, expected, rtol=1e-6)
    if len(data.mean) == 3:
        np.testing.assert_allclose(data.std, [0.229, 0.224, 0.225], rtol=1e-6)


def test_without_download_a_missing_file_is_named_with_its_address(fake, tmp_path):
    with pytest.raises(
        InvalidInput, match=r"does not exist; put .* there, or set download to true"
    ) as refusal:
        fake.load(directory=str(tmp_path / "here"), download=False)
    assert str(tmp_path / "here") in str(refusal.value)
    assert "http://" in str(refusal.value)


def test_without_a_network_the_message_says_so(fake, web, tmp_path):
    web.socket.close()
    with pytest.raises(
        InvalidInput, match=r"could not download .*: run again with a network, or put the file"
    ):
        fake.load(directory=str(tmp_path / "here"))


def test_a_download_that_broke_off_is_not_in_the_way_of_the_next(fake, web, tmp_path):
    here = tmp_path / "here"
    web.break_off = True
    with pytest.raises(InvalidInput, match="could not download"):
        fake.load(directory=str(here))
    assert not [path for path in here.rglob("*") if path.is_file()]
    web.break_off = False
    assert_read(fake.load(directory=str(here)), fake)


@pytest.mark.parametrize("download", [True, False])
def test_a_file_with_another_sum_is_named_and_left_alone(fake, tmp_path, download):
    here = tmp_path / "here"
    fake.load(directory=str(here))
    path = here / fake.kept
    path.write_bytes(b"the user's own")
    with pytest.raises(
        InvalidInput, match=r"MD5 is not the published .*; remove it, then run again"
    ) as refusal:
        fake.load(directory=str(here), download=download)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == b"the user's own"


def test_cifar_is_read_from_an_unpacked_folder(monkeypatch, web, tmp_path):
    fake = fake_cifar(monkeypatch, web, "CIFAR10")
    with tarfile.open(web.served / fake.kept) as tar:
        tar.extractall(tmp_path / "here", filter="data")
    assert_read(fake.load(directory=str(tmp_path / "here"), download=False), fake)


def test_a_full_temporary_folder_is_named_with_what_it_needs(monkeypatch, web, tmp_path):
    fake = fake_cifar(monkeypatch, web, "CIFAR10")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(InvalidInput, match=f"in {tmp_path}: No space left on device; .*200 MB.* TMPDIR"):
        fake.load(directory=str(web.served), download=False)


class Trap:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("part", ["data_batch_1", "test_batch", "batches.meta"])
def test_an_altered_pickle_is_never_opened(monkeypatch, web, tmp_path, part):
    fake = fake_cifar(monkeypatch, web, "CIFAR10")
    here = tmp_path / "here"
    with tarfile.open(web.served / fake.kept) as tar:
        tar.extractall(here, filter="data")
    (here / "cifar-10-batches-py" / part).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(InvalidInput, match=r"cifar-10-batches-py: a file is missing or its MD5 .* remove"):
        fake.load(directory=str(here))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("packed", ["as published", "packed anew", "unpacked"])
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw"])
def test_fashion_mnist_is_read_however_it_is_packed(monkeypatch, web, tmp_path, packed, folder):
    fake = fake_fashion_mnist(monkeypatch, web)
    here = tmp_path / "here" / folder
    here.mkdir(parents=True)
    for name, content in fake.contents.items():
        if packed == "unpacked":
            (here / name).write_bytes(content)
        elif packed == "packed anew":
            (here / f"{name}.gz").write_bytes(gzip.compress(content, 1, mtime=0))
        else:
            shutil.copy(web.served / f"{name}.gz", here)
    assert_read(fake.load(directory=str(tmp_path / "here"), download=False), fake)
