#!/usr/bin/env python3
"""How far each perturbation of the default study moves the weights of a real ticket, without training it.

The paper's numbers, as recollected, are for ResNet-20 at 26.2 % of weights (round 6) and k = 500.

usage: effective_stds.py --rewind it500.safetensors --initial it0.safetensors --final it1000.safetensors
                         --mask round6/mask.safetensors [--round 6] [--seed 0]
"""

from earlyphase.core.branches import Ticket, apply, size_of_change
from earlyphase.core.masks import density
from earlyphase.runtime.storage import load_mask, load_weights
from shared import options, study_of_files

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


def main():
    parser = options(__doc__)
    for name in ("rewind", "initial", "final", "mask"):
        parser.add_argument(f"--{name}", required=True, help=".safetensors")
    parser.add_argument("--round", type=int, default=6, help="that found the mask")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbations' draws")
    args = parser.parse_args()
    states = {name: load_weights(getattr(args, name)) for name in ("rewind", "initial", "final")}
    (weights, k), (initial, _), (final, _) = states.values()
    ticket = Ticket(weights, initial, final, load_mask(args.mask), k, args.round)
    print(f"k = {k:,}, {density(ticket.mask):.1%} of weights\n")
    print(f"{'perturbation':26} {'mean':>8} {'std':>7} {'paper':>7}")
    for name, entry in study_of_files().config["perturbations"].items():
        perturbed = apply(entry if isinstance(entry, list) else [entry], ticket, args.seed)
        mean, std = size_of_change(ticket, perturbed)
        print(f"{name:26} {mean:8.4f} {std:7.3f} {PAPER.get(name, ''):>7}")


if __name__ == "__main__":
    main()
