"""How precisely and how repeatably torch computes.

"float32" computes in float32 throughout. "tf32" lets the convolutions and matrix products of a GPU round
their inputs to 10 bits of mantissa (TF32), which is faster; on a CPU it is "float32". "bfloat16" computes the
forward pass under autocast; weights and their updates stay float32.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from earlyphase.errors import InvalidInput

PRECISIONS = ("float32", "tf32", "bfloat16")


def use_precision(name: str) -> None:
    """Allow or disable TF32 in this process, and disable nondeterministic kernels of cuDNN.

    By default cuDNN rounds float32 convolutions to TF32, on every GPU since Ampere.

    Args:
        name: one of `PRECISIONS`.

    Raises:
        InvalidInput: another name.
    """
    if name not in PRECISIONS:
        raise InvalidInput(f"precision is {name!r}; it must be one of {', '.join(PRECISIONS)}")
    _allow_tf32(name == "tf32")
    torch.backends.cudnn.benchmark = False  # it would choose kernels by their speed at that moment
    torch.backends.cudnn.deterministic = True


def autocast(name: str, device_type: str) -> AbstractContextManager:
    """Context of a forward pass in a precision.

    Args:
        name: one of `PRECISIONS`.
        device_type: "cpu" or "cuda".
    """
    return torch.autocast(device_type, torch.bfloat16) if name == "bfloat16" else nullcontext()


@contextmanager
def full_precision() -> Iterator[None]:
    """Context that disables TF32 and nondeterministic kernels, whatever this process uses otherwise."""
    products = torch.backends.cuda.matmul.allow_tf32
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = products


def _allow_tf32(allowed: bool) -> None:
    # Only these two flags are used: `fp32_precision` is new in torch 2.9, and once it is set, reading the
    # flags raises, as `torch.backends.cudnn.flags` does.
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
