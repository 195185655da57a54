#!/usr/bin/env python3
"""How the answer on the Hessian's top subspace depends on the sample and on batch norm's statistics.

Reads the states that a dense run of a finished study kept, and solves again with other samples and
statistics: the share of the gradient in the top subspace, the largest eigenvalue, the overlap with the
subspace of the first sample size and statistics given, and the seconds of processor time of a solve.

usage: curvature.py results/dense/photo_digits/resnet8/seed0/supervised/trajectory.safetensors
                    results/data/photo_digits.safetensors [--samples 500 2000] [--iterations 0 40 320]
"""

import time

import numpy as np
import torch

from earlyphase.core.curvature import SampleLoss, fixed_sample, top_eigenpairs
from earlyphase.core.images import Images
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import load_state
from earlyphase.core.subspaces import share_in, subspace_overlap
from earlyphase.core.tasks import Task
from earlyphase.runtime.storage import load_tensors
from earlyphase.runtime.trajectory import kept_states
from machine import describe
from shared import options


def main():
    parser = options(__doc__)
    parser.add_argument("trajectory")
    parser.add_argument("data")
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--samples", nargs="+", type=int, default=[500])
    parser.add_argument("--statistics", nargs="+", default=["running", "sample", "batch"])
    parser.add_argument("--iterations", nargs="*", type=int)
    parser.add_argument("--tolerance", type=float, default=0.01)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, header = load_tensors(args.data, "data set")
    images = Images.from_arrays(
        data["train_images"], data["train_labels"], data["mean"], data["std"], torch.device("cpu")
    )
    classes = len(header["classes"])
    task = Task(train=images, test=images, classes=classes)  # nothing is tested
    model = resnet(data["train_images"].shape[1], classes, depth=args.depth, width=args.width)
    print(f"{describe()}; {args.trajectory}")
    print("iteration sample statistics   loss share_of_gradient eigenvalue_1 overlap residual seconds")
    for iteration, state in kept_states(args.trajectory).items():
        if args.iterations is not None and iteration not in args.iterations:
            continue
        load_state(model, state)
        reference = None
        for size in args.samples:
            for statistics in args.statistics:
                began = time.process_time()
                loss = SampleLoss(
                    model, fixed_sample(task, size, iteration), statistics=statistics, batch=max(size, 500)
                )
                start = np.random.default_rng(0).standard_normal(len(loss.gradient))
                pairs = top_eigenpairs(loss.hessian_vector_product, start, classes, tolerance=args.tolerance)
                seconds = time.process_time() - began
                reference = pairs.vectors if reference is None else reference
                print(
                    f"{iteration:9} {size:6} {statistics:10} {loss.value:6.3f} "
                    f"{share_in(pairs.vectors, loss.gradient):17.3f} {pairs.values[0]:12.3f} "
                    f"{subspace_overlap(reference, pairs.vectors):7.3f} {pairs.residuals.max():8.1e} "
                    f"{seconds:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
