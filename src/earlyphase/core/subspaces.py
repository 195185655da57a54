"""Subspaces of the space of parameters: how much of a vector lies in one, and how much two have in common."""

import numpy as np

from earlyphase.core.streams import generator


def random_subspace(dimension: int, count: int, seed: int) -> np.ndarray:
    """Orthonormal basis (d, count) of a subspace without a preferred direction: the control."""
    normal = generator(seed, "random subspace").standard_normal((dimension, count))
    return np.linalg.qr(normal)[0]


def share_in(basis: np.ndarray, vector: np.ndarray) -> float:
    """Share of the squared length of `vector` that lies in a subspace: f_top, in [0, 1].

    Chance is k / d. NaN for the zero vector.

    Args:
        basis: (d, k), orthonormal columns.
        vector: (d,).

    Source: Gur-Ari, Roberts & Dyer 2018.
    """
    squared = float(vector @ vector)
    return float(np.sum((basis.T @ vector) ** 2)) / squared if squared else float("nan")


def subspace_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Tr(P1 P2) / sqrt(Tr P1 Tr P2) of the projectors on two subspaces: in [0, 1], 1 if they are equal.

    Spans are compared, not eigenvectors, which swap and rotate inside them.

    Args:
        one: (d, k1), orthonormal columns.
        other: (d, k2), orthonormal columns.

    Source: Gur-Ari, Roberts & Dyer 2018.
    """
    return float(np.sum((one.T @ other) ** 2)) / float(np.sqrt(one.shape[1] * other.shape[1]))
