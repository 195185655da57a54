"""How hard training images are, and a share of them: the easy ones, the hard ones, or any."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Images
from earlyphase.core.precision import full_precision
from earlyphase.core.streams import generator
from earlyphase.core.tasks import Task
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
    """Show only a share of the training images of each class, all else as it is, in the order of the set.

    Classes keep their sizes: the easiest images of a set may otherwise be of two classes.

    Args:
        task: what is learnt.
        seed: of the replicate, which draws a random share.
        scores: how hard each training image is, (N,); not needed for a random share.
        share: of the images, in (0, 1); of n images of a class it is round(share * n).
        chosen: "easy", those of the smallest scores in their class; "hard", those of the largest; or
            "random". Of equal scores, the image that comes first in the set counts as the easier one.

    Raises:
        InvalidInput: fewer than two images would be left, or there are not as many scores as images.

    Source: Paul et al. 2022, section 3, who rank all classes together; their code can keep them apart, too.
    """
    labels, stream = task.train.labels.cpu().numpy(), generator(seed, "data diet")
    if chosen != "random" and (scores is None or len(scores) != len(labels)):
        known = "none" if scores is None else len(scores)
        raise InvalidInput(
            f"{chosen} images are chosen by a score for each of {len(labels)}, but there are {known}"
        )
    parts = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = round(share * len(members))
        if chosen == "random" or scores is None:
            parts.append(stream.choice(members, number, replace=False))
        else:
            ranked = members[np.argsort(scores[members], kind="stable")]
            parts.append(ranked[:number] if chosen == "easy" else ranked[len(ranked) - number :])
    positions = np.sort(np.concatenate(parts))
    if len(positions) < 2:
        raise InvalidInput(
            f"a share of {share:g} of {len(labels)} training images is {len(positions)}; two are the least"
        )
    return replace(task, train=task.train.chosen(positions))
