"""Compare the states of one dense run at two times each: their top subspaces, and the signs of weights."""

import argparse
from itertools import combinations

import numpy as np

from earlyphase.commands._options import add_job_arguments, begin
from earlyphase.core.masks import Weights
from earlyphase.core.subspaces import subspace_overlap
from earlyphase.runtime.storage import load_tensors, load_weights, save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--eigenpairs", required=True, nargs="+", help="eigenvectors at each time")
    parser.add_argument("--states", required=True, nargs="+", help="dense states at the same times")
    parser.add_argument("--out", required=True, help="a row per pair of times, .csv")


def run(args: argparse.Namespace) -> None:
    """Write a row for each kind of statistics and pair of times; the subspace of a diverged run is NaN."""
    begin(args)
    found, signs = {}, {}
    for eigenpairs, state in zip(args.eigenpairs, args.states, strict=True):
        weights, iteration = load_weights(state)
        signs[iteration] = prunable_signs(weights)
        tensors, header = load_tensors(eigenpairs, "eigenpairs")
        for statistics in header["statistics"]:
            basis = tensors[f"{statistics}/vectors"].astype(np.float64)
            found.setdefault(statistics, {})[iteration] = basis
    changes = {
        (one, other): share_that_differ(signs[one], signs[other])
        for one, other in combinations(sorted(signs), 2)
    }
    rows = [
        args.spec["columns"]
        | {
            "statistics": statistics,
            "earlier": earlier,
            "later": later,
            "overlap": overlap_of(bases[earlier], bases[later]),
            "chance": bases[earlier].shape[1] / max(len(bases[earlier]), 1),
            "sign_changes": changed,
        }
        for statistics, bases in found.items()
        for (earlier, later), changed in changes.items()
    ]
    save_rows(args.out, rows)


def prunable_signs(weights: Weights) -> np.ndarray:
    """Signs of all weights of convolutions and linear layers, (P,): the tensors of two or more dimensions."""
    return np.concatenate(
        [np.sign(weights[name]).ravel() for name in sorted(weights) if weights[name].ndim >= 2]
    )


def share_that_differ(one: np.ndarray, other: np.ndarray) -> float:
    """Share of signs that differ, in [0, 1]; NaN where a weight is not finite."""
    if np.isnan(one).any() or np.isnan(other).any():
        return float("nan")
    return float((one != other).mean())


def overlap_of(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two subspaces; NaN where one does not exist."""
    return subspace_overlap(one, other) if len(one) and len(other) else float("nan")
