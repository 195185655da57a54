"""Data sets: held to independent answers and to properties, without a network."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
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
def test_mean_and_std_are_those_of_the_training_pixels(name):
    data = dataset[name]()
    pixels = data.train_images / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(axis=(0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("name", EMBEDDED)
def test_provenance_says_where_from_by_what_right_and_how(name):
    assert {"source", "licence", "made"} <= dataset[name]().provenance.keys()


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


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("photo_digits", {"train": 9}, "train is 9, but must be an integer of at least 10"),
        ("photo_digits", {"test": 0}, "test is 0"),
        ("photo_digits", {"train": 100.0}, "train is 100.0"),
        ("photo_digits", {"train": "8192"}, "train is '8192'"),
        ("photo_digits", {"seed": -1}, "seed is -1"),
        ("digits", {"test": 1788}, "fewer than 10 of 1797"),
        ("digits", {"test": 5}, "test is 5"),
        ("synthetic", {"classes": 1}, "classes is 1"),
        ("synthetic", {"train": 3}, "train is 3, but must be an integer of at least 4"),
        ("synthetic", {"size": 0}, "size is 0"),
        ("synthetic", {"channels": True}, "channels is True"),
        ("imagefolder", {"path": "nowhere", "size": 0}, "size is 0"),
        ("imagefolder", {"path": "nowhere", "size": 8, "normalisation": "own "}, "known are own, imagenet"),
        ("cifar10", {"normalisation": "none", "download": False}, "normalisation is 'none'"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_its_value(name, arguments, message):
    with pytest.raises(InvalidInput) as refusal:
        dataset[name](**arguments)
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
        image = Image.fromarray(np.round(grey / 16 * 255).astype(np.uint8))
        known[np.asarray(image.resize((12, 12), Image.Resampling.BILINEAR)).tobytes()] = label
    assert len(known) == 1797

    def recovered(images, labels):
        found = set()
        for image, label in zip(images, labels, strict=True):
            windows = [image[0, top : top + 12, left : left + 12] for top in range(5) for left in range(5)]
            whole = [window.tobytes() for window in windows if window.sum() == image[0].sum()]
            digit = next(window for window in whole if window in known)
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


def test_photo_digits_are_balanced_and_their_splits_independent():
    data = dataset["photo_digits"](train=1005, test=103)
    counts = np.bincount(data.train_labels), np.bincount(data.test_labels)
    assert [(count.min(), count.max()) for count in counts] == [(100, 101), (10, 11)]
    assert data.train_images.shape == (1005, 3, 16, 16)
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


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pixels() -> dict[str, np.ndarray]:
    """Colour pixels (6, 6, 3) by path, in the order in which they should be read."""
    rng = np.random.default_rng(0)
    paths = [
        f"{split}/{name}/{i}.png" for split in ("train", "test") for name in ("ant", "Bee") for i in "ab"
    ]
    paths = sorted(paths, key=lambda path: (path.startswith("test"), path))
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


@pytest.mark.parametrize("top", ["", "pictures/", "pictures/", "some pictures/"])
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


def test_images_are_also_found_deeper_and_behind_links(tmp_path, files):
    plain = read_images(write_folder(tmp_path / "plain", files))
    deeper = {name.replace("a.png", "a/x.png"): content for name, content in files.items()}
    assert equal(read_images(write_folder(tmp_path / "deeper", deeper)), plain)
    links = tmp_path / "links"
    links.mkdir()
    for split in ("train", "test"):
        (links / split).symlink_to(tmp_path / "plain" / split)
    assert equal(read_images(links), plain)


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
    files["train/ant/a.png"] = png(image, "RGBA")
    files["train/ant/b.png"] = png(image[..., 0])  # grey
    files["test/ant/a.png"] = png(np.full((9, 3, 3), 77, np.uint8))
    data = read_images(write_folder(tmp_path, files))
    assert np.array_equal(data.train_images[2], image.transpose(2, 0, 1))
    assert np.array_equal(data.train_images[3], np.stack([image[..., 0]] * 3))
    assert np.all(data.test_images[2] == 77)
    assert read_images(tmp_path, size=5).train_images.shape == (4, 3, 5, 5)


def test_imagenet_normalisation_is_the_papers(tmp_path, files):
    data = read_images(write_folder(tmp_path, files), normalisation="imagenet")
    np.testing.assert_array_equal(data.mean, np.float32([0.485, 0.456, 0.406]))
    np.testing.assert_array_equal(data.std, np.float32([0.229, 0.224, 0.225]))


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
            lambda files: files | {"train/ant/b.png": b"no image"},
            "train/ant/b.png cannot be used as an image",
        ),
        (
            lambda files: files | {"test/Bee/a.png": files["test/Bee/a.png"][:-40]},
            "test/Bee/a.png cannot be used as an image",
        ),
        (
            lambda files: files | {"test/Bee/a.png": png(np.full((6, 6), 1000, np.uint16))},
            "more than 8 bits a channel",
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


def test_a_path_that_is_no_folder_or_zip_is_refused(tmp_path, files):
    with pytest.raises(InvalidInput, match=r"nowhere does not exist; path must name a folder or a \.zip"):
        read_images(tmp_path / "nowhere")
    archive = write_zip(tmp_path / "some.zip", files)
    archive.write_bytes(archive.read_bytes()[:-100])  # as a copy that broke off
    with pytest.raises(InvalidInput, match=r"some\.zip is neither a folder nor a whole \.zip"):
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


def test_fashion_mnist_in_three_channels_is_refused(monkeypatch, web, tmp_path):
    fake = fake_fashion_mnist(monkeypatch, web)
    with pytest.raises(InvalidInput, match="normalisation 'imagenet' is for 3 channels, not 1; use 'own'"):
        fake.load(directory=str(tmp_path / "here"), normalisation="imagenet")
