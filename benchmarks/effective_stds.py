"""How far each perturbation of the default study moves the weights of a real ticket, without training it.

python benchmarks/effective_stds.py --rewind it500.safetensors --initial it0.safetensors --mask mask…

The paper's numbers, as recollected, are for ResNet-20 at 26.2 % of weights (round 6) and k = 500.
"""

import argparse
from pathlib import Path

import yaml

from earlyphase.core.branches import Ticket, branch, effective_std
from earlyphase.core.masks import density
from earlyphase.runtime.storage import load_mask, load_weights

PAPER = {
    "signs_k_magnitudes_0": 0.042,
    "signs_0_magnitudes_k": 0.033,
    "shuffle_global": 0.144,
    "shuffle_layers": 0.143,
    "shuffle_kernels": 0.092,  # "filters": this scope or the next
    "shuffle_filters": 0.092,
    "shuffle_kernels_signs_k": 0.049,
    "shuffle_layers_signs_0": 0.087,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("rewind", "initial", "mask"):
        parser.add_argument(f"--{name}", required=True, help=".safetensors")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbations' draws")
    args = parser.parse_args()
    weights, k = load_weights(args.rewind)
    ticket = Ticket(weights, load_weights(args.initial)[0], load_mask(args.mask), k)
    print(f"k = {k:,}, {density(ticket.mask):.1%} of weights\n")
    print(f"{'perturbation':26} {'mean':>8} {'std':>7} {'paper':>7}")
    config = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    for name, entry in config["perturbations"].items():
        arguments = {key: value for key, value in entry.items() if key != "function"}
        perturbed = branch.named(entry["function"])(ticket, args.seed, **arguments)
        if perturbed.mask is ticket.mask:  # otherwise weights have moved to other positions
            mean, std = effective_std(ticket.weights, perturbed.weights, ticket.mask)
            print(f"{name:26} {mean:8.4f} {std:7.3f} {PAPER.get(name, ''):>7}")


if __name__ == "__main__":
    main()
