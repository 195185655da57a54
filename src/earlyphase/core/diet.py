"""A share of the training images: the easy ones, the hard ones, or any."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Images
from earlyphase.core.precision import full_precision
from earlyphase.core.streams import generator
from earlyphase.core.tasks import Task, sample_positions
from earlyphase.core.training import EVALUATION_BATCH
from earlyphase.errors import InvalidInput

Chosen = Literal["random", "easy", "hard"]


@torch.no_grad()
def el2n(model: nn.Module, images: Images) -> np.ndarray:
    """How far a network is from the label of each image: the length of its softmax minus the one-hot label.

    Batch norm uses running statistics, and images are unaugmented.

    Returns:
        float64 (N,), in [0, sqrt(2)]; 0 for an image that the network is sure of, and right.

    Source: Paul, Ganguli & Dziugaite 2021, EL2N, which they average over networks of other seeds.
    """
    model.eval()
    parts = []
    with full_precision():
        for inputs, labels in images.in_batches(EVALUATION_BATCH):
            answers = F.softmax(model(inputs).double(), dim=1)
            parts.append((answers - F.one_hot(labels, answers.shape[1])).norm(dim=1))
    return torch.cat(parts).cpu().numpy()


def shown(
    task: Task, seed: int, scores: np.ndarray | None = None, *, share: float, chosen: Chosen = "random"
) -> Task:
    """Show only a share of the training images, all else as it is; they stay in the order of the set.

    Args:
        task: what is learnt.
        seed: of the replicate, which draws a random share.
        scores: how hard each training image is, (N,); not needed for a random share.
        share: of the images, in (0, 1); of N images it is round(share * N).
        chosen: "easy", those of the smallest scores; "hard", those of the largest; or "random". Of equal
            scores, the image that comes first in the set counts as the easier one.

    Raises:
        InvalidInput: fewer than two images would be left, or there are not as many scores as images.

    Source: Paul et al. 2022, section 3.
    """
    there = len(task.train)
    number = round(share * there)
    if number < 2:
        raise InvalidInput(f"a share of {share:g} of {there} training images is {number}; two are the least")
    if chosen == "random":
        positions = sample_positions(task.train, number, generator(seed, "data diet"))
    else:
        if scores is None or len(scores) != there:
            known = "none" if scores is None else len(scores)
            raise InvalidInput(
                f"{chosen} images are chosen by a score for each of {there}, but there are {known}"
            )
        order = np.argsort(scores, kind="stable")
        positions = np.sort(order[:number] if chosen == "easy" else order[there - number :])
    return replace(task, train=task.train.chosen(positions))
