"""Write a trained ticket for other programs: as two plain files, or as ONNX."""

import argparse
import json
from pathlib import Path

from earlyphase.core.masks import density
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import (
    load_mask,
    load_tensors,
    read_bytes,
    save_mask,
    save_weights,
    write_bytes,
)
from earlyphase.runtime.tickets import load_ticket, load_trained, results_of

FILES = ("mask.safetensors", "weights.safetensors")
TOLERANCE = 1e-5  # of ONNX outputs, relative to the largest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ticket", help="folder of a round: results/imp/.../round6")
    parser.add_argument("--out", help="folder for the mask, and for the whole state, a tensor a name")
    parser.add_argument("--onnx", metavar="FILE", help="write the network as ONNX")
    parser.add_argument("--data", help="data set on which ONNX is checked, if not that of the same results")


def run(args: argparse.Namespace) -> None:
    """Write what is asked for, and say what it takes.

    Raises:
        InvalidInput: the options ask for nothing, or a file is not what it must be.
    """
    if args.out is None and args.onnx is None:
        raise InvalidInput("nothing to write: name a folder with --out, a file with --onnx, or both")
    mask = load_mask(Path(args.ticket, FILES[0]))
    weights, iteration = load_trained(Path(args.ticket, FILES[1]))
    if args.out:
        save_mask(Path(args.out, FILES[0]), mask)
        save_weights(Path(args.out, FILES[1]), weights, iteration)
        print(f"{args.out}: {' and '.join(FILES)}, {density(mask):.1%} of the weights")
    if args.onnx:
        print(f"{args.onnx}: {write_onnx(args)}")


def write_onnx(args: argparse.Namespace) -> str:
    """Write the network as ONNX, and compare its outputs with torch's on test images; say what was found.

    Raises:
        InvalidInput: onnx or onnxruntime is absent, the network is none of this package, or outputs differ.
    """
    import torch

    from earlyphase.core.images import Images
    from earlyphase.core.inference import deviation, onnx_file, onnx_session

    spec = json.loads(read_bytes(Path(args.ticket, "run.json")))["spec"]
    beside = results_of(args.ticket) / "data" / f"{spec['columns']['dataset']}.safetensors"
    data, _ = load_tensors(args.data or beside, "data set")
    arrays = data["test_images"][:128], data["test_labels"][:128], data["mean"], data["std"]
    test = Images.from_arrays(*arrays, torch.device("cpu"))
    images = test.normalise(test.pixels).contiguous()
    model = load_ticket(args.ticket)
    content = onnx_file(model, images[:1])
    largest = deviation(onnx_session(content), model, images)
    if not largest <= TOLERANCE:
        raise InvalidInput(f"ONNX Runtime differs from torch by {largest:.1e} of the largest output")
    write_bytes(args.onnx, content)
    return f"{len(content):,} bytes; on {len(images)} images within {largest:.1e} of torch's largest output"
