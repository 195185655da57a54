"""The gradient of a mini-batch, and the same computation replayed as a CUDA graph.

The forward and the backward pass of a small network are some five hundred kernels of a few microseconds each,
so that a GPU waits for Python to launch them. A CUDA graph launches all of them at once: the same kernels on
the same numbers. Python then launches the optimiser's update, a few operations on one vector. So the learning
rate and weight decay may change at every step, and are constants of no graph.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.optimizer import MaskedOptimizer

# Takes the images and labels of a mini-batch; leaves the gradient in the parameters.
Backward = Callable[[torch.Tensor, torch.Tensor], None]

BEFORE_CAPTURE = (
    3  # mini-batches of a shape that Python launches first, in which libraries load their kernels
)


def backward_of(
    model: nn.Module, optimizer: MaskedOptimizer, autocast: Callable[[], AbstractContextManager]
) -> Backward:
    """The fastest way to compute a gradient on the device that `model` is on."""
    plain = plain_backward(model, optimizer, autocast)
    on_gpu = next(model.parameters()).device.type == "cuda"
    return GraphedBackward(plain) if on_gpu else plain


def plain_backward(
    model: nn.Module, optimizer: MaskedOptimizer, autocast: Callable[[], AbstractContextManager]
) -> Backward:
    """The loss of a mini-batch and its gradient, as Python launches them."""

    def backward(images: torch.Tensor, labels: torch.Tensor) -> None:
        with autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.backward(loss)

    return backward


class GraphedBackward:
    """Gradients on a GPU: the first of a shape as Python launches them, all further ones as one CUDA graph.

    There is a graph for each shape of a mini-batch. The graphs share their memory, since none runs beside
    another and none hands anything on but gradients and batch norm's statistics.
    """

    def __init__(self, plain: Backward) -> None:
        self._plain = plain
        self._taken: Counter[torch.Size] = Counter()
        self.graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}
        self._aside = torch.cuda.Stream()  # torch asks for steps before a capture to be on another stream
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the gradient of a mini-batch."""
        shape = images.shape
        if shape not in self.graphs and self._taken[shape] < BEFORE_CAPTURE:
            self._taken[shape] += 1
            self._aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._aside):
                self._plain(images, labels)
            torch.cuda.current_stream().wait_stream(self._aside)
            return
        if shape not in self.graphs:
            self.graphs[shape] = self._captured(images, labels)
        graph, given_images, given_labels = self.graphs[shape]
        given_images.copy_(images)
        given_labels.copy_(labels)
        graph.replay()

    def _captured(
        self, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        """The computation as a graph, which has not run yet, and the tensors it reads a mini-batch from."""
        graph, given_images, given_labels = torch.cuda.CUDAGraph(), images.clone(), labels.clone()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside):
            self._plain(given_images, given_labels)
        return graph, given_images, given_labels
