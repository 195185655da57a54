"""Images of one's own, in folders or a zip."""

import hashlib
import io
import stat
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal
from unicodedata import normalize
from zipfile import ZipFile, ZipInfo

import numpy as np

from earlyphase.datasets.data_set import DataSet, assembled
from earlyphase.datasets.sampling import Arrays
from earlyphase.errors import InvalidInput
from earlyphase.registry import dataset
from earlyphase.runtime.contents import is_image, listing, located

Tree = dict[str, dict[str, list[str]]]  # split -> class -> files


@dataset(contents="path", channels=3)
def imagefolder(
    *,
    path: Annotated[str, {"minLength": 1}],
    size: Annotated[int, {"minimum": 1, "description": "height and width in pixels"}],
    normalisation: Literal["own", "imagenet"] = "own",
    background: Literal["white", "black"] = "white",
) -> DataSet:
    """Images in a folder or .zip as `train/<class>/...` and `test/<class>/...`, (3, size, size).

    The two folders may also be inside a single one. A zip is read without unpacking. Classes and files are
    taken in sorted order. Passed over are hidden files, what systems put into folders (`__MACOSX`, `@eaDir`,
    ...), what is in no class's folder, and files without an image's extension; the last are counted in what
    is printed. Links are followed, except back to a folder that they lie in.

    An image is turned upright as its EXIF orientation says, laid over the background where it is transparent,
    made RGB and, where it has another size, stretched to size x size (bilinear). Of an animation the first
    frame is taken, of colours of 16 bits a channel the upper 8.

    Args:
        path: the folder or zip.
        size: height and width in pixels, at least 1.
        normalisation: "own" or "imagenet".
        background: the colour behind transparent pixels, "white" or "black".

    Raises:
        InvalidInput: there is no such folder or zip, it is not laid out as above, a class is missing or
            empty, or an image is broken, of a kind that Pillow does not know, or grey of more than 8 bits.
    """
    place = located(path)
    train, test, classes, sha256 = read_image_files(place, size, background)
    provenance = {
        "source": f"{place.resolve().name}, SHA-256 {sha256}",
        "licence": "as its source states",
        "made": f"RGB, {size}x{size}, upright, over {background}, in the order of sorted paths",
    }
    return assembled(train, test, classes, provenance, normalisation)


def read_image_files(place: Path, size: int, background: str) -> tuple[Arrays, Arrays, tuple[str, ...], str]:
    """Read `train/<class>/...` and `test/<class>/...` below `place`; print what is passed over.

    Returns:
        Images uint8 (N, 3, size, size) and labels for training, the same for testing, the classes, and
        the SHA-256 of the zip, or over each file's path, size and content for a folder.

    Raises:
        InvalidInput: `place` or a file in it cannot be used.
    """
    found = listing(place)
    tree, splits, digest = _class_tree(found, place), [], hashlib.sha256()
    with ZipFile(place) if place.is_file() else nullcontext() as archive:
        for classes in tree.values():
            labels = np.repeat(np.arange(len(classes), dtype=np.int64), [*map(len, classes.values())])
            images = np.empty((len(labels), 3, size, size), np.uint8)
            for image, name in zip(images, chain.from_iterable(classes.values()), strict=True):
                content = b""
                try:
                    content = _member(archive, found[name]) if archive else (place / name).read_bytes()
                    image[:] = _pixels(content, size, background)
                except Exception as error:  # a broken file makes PIL raise nearly anything
                    raise InvalidInput(
                        f"{place}: {name} cannot be used as an image ({_reason(content, error)}); "
                        "replace or remove it"
                    ) from error
                digest.update(f"{name}\n{len(content)}\n".encode(errors="surrogateescape") + content)
            splits.append((images, labels))
    if place.is_file():
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    train, test = splits
    return train, test, tuple(tree["train"]), digest.hexdigest()


def _class_tree(found: Iterable[str], place: Path) -> Tree:
    """Return split -> class -> image files, all sorted; print which other files were passed over.

    Raises:
        InvalidInput: a split or class is missing or empty.
    """
    names = sorted(found)
    folders = {name.split("/", 1)[0] for name in names if "/" in name}
    top = f"{min(folders)}/" if len(folders) == 1 and not folders & {"train", "test"} else ""
    tree: Tree = {"train": {}, "test": {}}
    others = []
    for name in names:
        match name.removeprefix(top).split("/", 2):
            case [split, label, file] if split in tree:
                files = tree[split].setdefault(label, [])
                if is_image(file):
                    files.append(name)
                elif not name.endswith("/"):
                    others.append(name)
    for split, classes in tree.items():
        if not classes:
            depth = top.count("/") + 1
            own = {"/".join(name.split("/")[:depth]) for name in names if name.count("/") >= depth}
            shown = ", ".join(sorted(own)) or "none"
            raise InvalidInput(f"{place} has no folders {split}/<class>/; its own folders: {shown}")
    for split, other in (("train", "test"), ("test", "train")):
        for label, files in tree[split].items():
            if label not in tree[other]:
                alike = [known for known in tree[other] if _letters(known) == _letters(label)]
                hint = f"; {other}/ has {alike[0]!r}, which is written differently" if alike else ""
                missing = f"class {label!r} is in {split}/ but not in {other}/"
                raise InvalidInput(f"{place}: {missing}; both need every class{hint}")
            if not files:
                beside = [name for name in others if name.startswith(f"{top}{split}/{label}/")]
                why = f" ({_passed_over(beside)})" if beside else ""
                raise InvalidInput(f"{place}: {split}/{label}/ holds no images; every class needs some{why}")
    if others:
        print(_passed_over(others))
    return {split: dict(sorted(classes.items())) for split, classes in tree.items()}


def _letters(name: str) -> str:
    """What is left of a name without capitals and without the two ways to write an accented letter."""
    return normalize("NFC", name).strip().casefold()


def _passed_over(files: list[str]) -> str:
    """Say how many files were passed over, and the names of some."""
    names = sorted({file.rsplit("/", 1)[-1] for file in files})
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    shown = shown.encode(errors="backslashreplace").decode()  # a name need not be text that can be printed
    return f"files without an image's extension, which are passed over: {len(files)} ({shown})"


def _member(archive: ZipFile, entry: ZipInfo) -> bytes:
    """Content of a file in a zip; what is raised says for people why it cannot be had."""
    if entry.flag_bits & 1:
        raise InvalidInput("it is encrypted; pack the zip without a password")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidInput("it is a link; pack the zip with the files that links lead to")
    try:
        return archive.read(entry)
    except Exception as error:  # zipfile and its decompressors raise nearly anything
        raise InvalidInput(f"the zip is damaged there, or packed in a way unknown here: {error}") from None


def _pixels(content: bytes, size: int, background: str) -> np.ndarray:
    """Decode an image file; return uint8 (3, size, size)."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as image:
        if image.mode[0] in "IF":  # PIL would clip them
            raise InvalidInput(f"mode {image.mode} has more than 8 bits a channel")
        image.load()
        with suppress(Exception):  # of broken EXIF, which Pillow writes anew after it has turned the image
            ImageOps.exif_transpose(image, in_place=True)
        colour: Image.Image = image
        if image.has_transparency_data:
            behind = Image.new("RGBA", image.size, background)
            colour = Image.alpha_composite(behind, image.convert("RGBA"))
        colour = colour.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(colour).transpose(2, 0, 1)


def _reason(content: bytes, error: Exception) -> str:
    """Say why a file cannot be used, without what means something to programmers only."""
    from PIL import UnidentifiedImageError

    if isinstance(error, InvalidInput):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "it is a link to nothing"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    if not content:
        return "it is empty"
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "it holds an HTML page, not an image"
    if start.startswith(b"version https://git-lfs"):
        return "it holds where Git LFS keeps the image, not the image; `git lfs pull` fetches it"
    if isinstance(error, UnidentifiedImageError):
        return "it is in no image format that Pillow knows"
    if "truncated" in str(error).lower():
        return "it is cut short"
    return f"Pillow cannot decode it: {str(error) or type(error).__name__}"
