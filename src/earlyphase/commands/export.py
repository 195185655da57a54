"""Write a ticket as one compact file or as an ONNX file, or read a compact file back."""

import argparse
import json
from pathlib import Path

from earlyphase.core.masks import Mask, Weights, density
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import (
    load_mask,
    load_tensors,
    load_weights,
    read_bytes,
    save_mask,
    save_weights,
    write_bytes,
)
from earlyphase.runtime.tickets import load_ticket, pack_ticket

FILES = ("mask.safetensors", "weights.safetensors")
TOLERANCE = 1e-5  # of ONNX outputs, relative to the largest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ticket", nargs="?", help="folder of a round: results/imp/.../round6")
    parser.add_argument("--out", help="compact file, ticket.safetensors; with --restore a folder, restored")
    parser.add_argument("--restore", metavar="FILE", help="read this compact file back")
    parser.add_argument("--without-signs-of-zeros", action="store_true", help="smaller; outputs stay equal")
    parser.add_argument("--onnx", metavar="FILE", help="write the network as ONNX as well")
    parser.add_argument(
        "--data", help="data set on which ONNX is checked; otherwise that in the same results"
    )


def run(args: argparse.Namespace) -> None:
    """Write what is asked for, read it back, and say what it takes.

    Raises:
        InvalidInput: the options ask for nothing or for two things at once, or a file is not what it must be.
    """
    if (args.ticket is None) == (args.restore is None):
        raise InvalidInput("name either the folder of a ticket, or --restore and a compact file")
    if args.restore:
        if args.onnx:
            raise InvalidInput("--onnx needs the folder of a ticket, whose run.json names the network")
        restore(args.restore, Path(args.out or "restored"))
        return
    mask, (weights, iteration) = (
        load_mask(Path(args.ticket, FILES[0])),
        load_weights(Path(args.ticket, FILES[1])),
    )
    signs = not args.without_signs_of_zeros
    path = args.out or "ticket.safetensors"
    write_bytes(path, pack_ticket(weights, mask, iteration, signs_of_zeros=signs))
    check(load_ticket(path), (weights, mask, iteration), bits=signs)
    original = sum(len(read_bytes(Path(args.ticket, name))) for name in FILES)
    size = len(read_bytes(path))
    print(f"{path}: {density(mask):.1%} of the weights, {size:,} bytes; its two files have {original:,}")
    if args.onnx:
        print(f"{args.onnx}: {write_onnx(args, weights, mask)}")


def restore(path: str, folder: Path) -> None:
    """Write the two files that a compact file was made of."""
    weights, mask, iteration = load_ticket(path)
    save_mask(folder / FILES[0], mask)
    save_weights(folder / FILES[1], weights, iteration)
    print(f"{folder}: {' and '.join(FILES)}, {density(mask):.1%} of the weights")


def check(found: tuple[Weights, Mask, int], given: tuple[Weights, Mask, int], *, bits: bool) -> None:
    """Compare a ticket that was read back with what was written, by bits or by values.

    Raises:
        InvalidInput: they differ.
    """
    (weights, mask, iteration), (others, other_mask, other_iteration) = found, given
    same = iteration == other_iteration and list(mask) == list(other_mask) and weights.keys() == others.keys()
    same = same and all((kept == other_mask[name]).all() for name, kept in mask.items())
    for name, array in others.items() if same else ():
        one, other = (values if bits else values + 0 for values in (weights[name], array))
        same = same and (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if not same:
        raise InvalidInput("the compact file does not hold what was written; do not use it")


def write_onnx(args: argparse.Namespace, weights: Weights, mask: Mask) -> str:
    """Write the network as ONNX, and compare its outputs with torch's on test images; say what was found.

    Raises:
        InvalidInput: onnx or onnxruntime is absent, the network is none of this package, or outputs differ.
    """
    import torch

    from earlyphase.core.images import Images
    from earlyphase.core.inference import deviation, onnx_file, onnx_session
    from earlyphase.core.networks import network
    from earlyphase.core.networks.state import load_state

    spec = json.loads(read_bytes(Path(args.ticket, "run.json")))["spec"]
    data, _ = load_tensors(args.data or data_beside(args.ticket, spec), "data set")
    test = Images.from_arrays(
        data["test_images"][:128], data["test_labels"][:128], data["mean"], data["std"], torch.device("cpu")
    )
    images = test.normalise(test.pixels).contiguous()
    entry = dict(spec["model"])
    classes = len(weights[list(mask)[-1]])  # of the last layer
    model = network.named(entry.pop("function"))(images.shape[1], classes, **entry)
    load_state(model, weights)
    content = onnx_file(model, images[:1])
    found = deviation(onnx_session(content), model, images)
    if not found <= TOLERANCE:
        raise InvalidInput(f"ONNX Runtime differs from torch by {found:.1e} of the largest output")
    write_bytes(args.onnx, content)
    return f"{len(content):,} bytes; on {len(images)} images within {found:.1e} of torch's largest output"


def data_beside(ticket: str, spec: dict) -> Path:
    """The data set that a ticket was trained on, in the same folder of results.

    Raises:
        InvalidInput: the ticket does not lie in a folder of results.
    """
    folder = next((one.parent for one in Path(ticket).resolve().parents if one.name == "imp"), None)
    if folder is None:
        raise InvalidInput(f"{ticket} lies in no folder of results; name the data set with --data")
    return folder / "data" / f"{spec['columns']['dataset']}.safetensors"
