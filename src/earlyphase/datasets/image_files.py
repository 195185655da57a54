"""Image files in folders or a zip as arrays."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from earlyphase.datasets.sampling import Arrays
from earlyphase.errors import InvalidInput

Tree = dict[str, dict[str, list[str]]]  # split -> class -> files


def read_image_files(place: Path, size: int) -> tuple[Arrays, Arrays, tuple[str, ...], str]:
    """Read `train/<class>/...` and `test/<class>/...` below `place`.

    Returns:
        Images uint8 (N, 3, size, size) and labels for training, the same for testing, the classes, and
        the SHA-256 of the zip, or over each file's path, size and content for a folder.

    Raises:
        InvalidInput: `place` or a file in it cannot be used.
    """
    with _opened(place) as (names, read):
        tree = _class_tree(names, place)
        train, test = (_decoded(list(tree[split].values()), read, size, place) for split in ("train", "test"))
    return train, test, tuple(tree["train"]), _sha256(place, tree)


@contextmanager
def _opened(place: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yield the name of every file and folder (these end in "/") in `place`, and a function to read one."""
    import zipfile

    if place.is_dir():
        found = []
        for folder, folders, files in os.walk(place, followlinks=True):
            found += [Path(folder, name).relative_to(place).as_posix() + "/" for name in folders]
            found += [Path(folder, name).relative_to(place).as_posix() for name in files]
        yield found, lambda name: (place / name).read_bytes()
    elif not place.exists():
        raise InvalidInput(f"{place} does not exist; path must name a folder or a .zip with train/ and test/")
    elif not zipfile.is_zipfile(place):
        raise InvalidInput(f"{place} is neither a folder nor a whole .zip archive")
    else:
        with zipfile.ZipFile(place) as archive:
            yield archive.namelist(), archive.read


def _class_tree(names: list[str], place: Path) -> Tree:
    """Return split -> class -> files, all sorted, from the names of everything in `place`.

    Raises:
        InvalidInput: a split or class is missing or empty.
    """
    paths = [name.split("/") for name in sorted(set(names))]
    paths = [
        parts for parts in paths if not any(part.startswith(".") or part == "__MACOSX" for part in parts)
    ]
    tops = sorted({parts[0] for parts in paths if len(parts) > 1})
    depth = 1 if len(tops) == 1 and tops[0] not in ("train", "test") else 0
    tree = {"train": {}, "test": {}}
    for parts in paths:
        if len(parts) > depth + 2 and parts[depth] in tree:
            files = tree[parts[depth]].setdefault(parts[depth + 1], [])
            if parts[-1]:  # not a folder
                files.append("/".join(parts))
    for split, classes in tree.items():
        if not classes:
            raise InvalidInput(
                f"{place} has no folders {split}/<class>/; its own folders: {', '.join(tops) or 'none'}"
            )
    for split, other in (("train", "test"), ("test", "train")):
        for name, files in sorted(tree[split].items()):
            if name not in tree[other]:
                raise InvalidInput(
                    f"{place}: class {name!r} is in {split}/ but not in {other}/; both need every class"
                )
            if not files:
                raise InvalidInput(f"{place}: {split}/{name}/ holds no images; every class needs some")
    return {split: dict(sorted(tree[split].items())) for split in tree}


def _decoded(by_class: list[list[str]], read: Callable[[str], bytes], size: int, place: Path) -> Arrays:
    """Read the image files of every class; return uint8 (N, 3, size, size) and int64 labels."""
    import io

    from PIL import Image

    labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class])
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for position, file in enumerate(file for files in by_class for file in files):
        try:
            with Image.open(io.BytesIO(read(file))) as image:
                if image.mode[0] in "IF":  # PIL would clip them
                    raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
                colour = image.convert("RGB")
            if colour.size != (size, size):
                colour = colour.resize((size, size), Image.Resampling.BILINEAR)
        except Exception as error:  # a broken file makes PIL and zipfile raise nearly anything
            raise InvalidInput(
                f"{place}: {file} cannot be used as an image ({error}); replace or remove it"
            ) from error
        images[position] = np.asarray(colour).transpose(2, 0, 1)
    return images, labels.astype(np.int64)


def _sha256(place: Path, tree: Tree) -> str:
    """SHA-256 of a zip, or over the path, size and content of each of a folder's files in `tree`."""
    import hashlib

    if place.is_file():
        with place.open("rb") as archive:
            return hashlib.file_digest(archive, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in (file for classes in tree.values() for files in classes.values() for file in files):
        content = (place / file).read_bytes()
        digest.update(f"{file}\n{len(content)}\n".encode(errors="surrogateescape") + content)
    return digest.hexdigest()
