"""One step of training, and the same step replayed as a CUDA graph.

A step of a small network is some five hundred kernels of a few microseconds each, so that a GPU waits for
Python to launch them. A CUDA graph launches all of them at once: the same kernels on the same numbers.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.optimizer import MaskedSGD

# Takes the images and labels of a mini-batch, the learning rate and the weight decay.
Step = Callable[[torch.Tensor, torch.Tensor, float, float], None]

Kind = tuple[torch.Size, float, float]  # shape of a mini-batch, learning rate, weight decay

BEFORE_CAPTURE = 3  # steps of a kind that are taken as usual; in these, libraries load their kernels


def step_of(model: nn.Module, optimizer: MaskedSGD, autocast: Callable[[], AbstractContextManager]) -> Step:
    """The fastest way to take a step on the device that `model` is on."""
    plain = plain_step(model, optimizer, autocast)
    on_gpu = next(model.parameters()).device.type == "cuda"
    return GraphedStep(plain) if on_gpu else plain


def plain_step(
    model: nn.Module, optimizer: MaskedSGD, autocast: Callable[[], AbstractContextManager]
) -> Step:
    """A step as Python launches it: the loss of a mini-batch, its gradient, the update."""

    def step(images: torch.Tensor, labels: torch.Tensor, learning_rate: float, weight_decay: float) -> None:
        with autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.step(loss, learning_rate, weight_decay)

    return step


class GraphedStep:
    """Steps on a GPU: the first of a kind as Python launches them, all further ones as one CUDA graph.

    Steps are of one kind if their mini-batches have one shape and their learning rate and weight decay are
    the same, for these are constants of a graph. The graphs share their memory, since none runs beside
    another and none hands anything on but parameters, momentum and batch norm's statistics.
    """

    def __init__(self, plain: Step) -> None:
        self._plain = plain
        self._taken: Counter[Kind] = Counter()
        self.graphs: dict[Kind, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}
        self._aside = torch.cuda.Stream()  # torch asks for steps before a capture to be on another stream
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, learning_rate: float, weight_decay: float
    ) -> None:
        """Take a step on a mini-batch."""
        kind = (images.shape, learning_rate, weight_decay)
        if kind not in self.graphs and self._taken[kind] < BEFORE_CAPTURE:
            self._taken[kind] += 1
            self._aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._aside):
                self._plain(images, labels, learning_rate, weight_decay)
            torch.cuda.current_stream().wait_stream(self._aside)
            return
        if kind not in self.graphs:
            self.graphs[kind] = self._captured(images, labels, learning_rate, weight_decay)
        graph, given_images, given_labels = self.graphs[kind]
        given_images.copy_(images)
        given_labels.copy_(labels)
        graph.replay()

    def _captured(
        self, images: torch.Tensor, labels: torch.Tensor, learning_rate: float, weight_decay: float
    ) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        """A step as a graph, which is not taken yet, and the tensors that it reads a mini-batch from."""
        graph, given_images, given_labels = torch.cuda.CUDAGraph(), images.clone(), labels.clone()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside):
            self._plain(given_images, given_labels, learning_rate, weight_decay)
        return graph, given_images, given_labels
