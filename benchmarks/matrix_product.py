#!/usr/bin/env python3
"""Operations a second of a large product of two square matrices: what a network can be held against.

In the given precision, on one thread of a processor or on a GPU; the median of all products of a window.

usage: OMP_NUM_THREADS=1 matrix_product.py [--size 2048] [--seconds 3] [--device cpu] [--precision float32]
"""

import statistics

import torch

from earlyphase.core.precision import PRECISIONS
from shared import moment, options, set_up


def rate_of(size, seconds, device, precision):
    """Floating-point operations a second of a product, the median over a window."""
    set_up(device, precision)
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one, other = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    for _ in range(2):
        torch.mm(one, other)
    took, began = [], moment(device)
    while moment(device) - began < seconds:
        start = moment(device)
        torch.mm(one, other)
        took.append(moment(device) - start)
    return 2 * size**3 / statistics.median(took)


def main():
    parser = options(__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    args = parser.parse_args()
    print(f"{rate_of(args.size, args.seconds, args.device, args.precision):.6g}")


if __name__ == "__main__":
    main()
