"""Networks, their initialisation, and which of their tensors are prunable."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.errors import InvalidInput
from earlyphase.initial import draw_initial
from earlyphase.masks import Weights
from earlyphase.registry import Registry
from earlyphase.streams import generator

MODELS = Registry("network")


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: identity, or a strided 1x1 convolution with batch norm.

    The stride of the shortcut is taken by its input, which gives the same numbers. PyTorch's strided 1x1
    convolution with fewer than eight input channels writes past its buffers on processors without
    AVX-512 (oneDNN 3.12): the process crashes, or goes on with damaged memory.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride, self.shortcut = stride, None
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x[:, :, :: self.stride, :: self.stride])
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    """The CIFAR residual network: a 3x3 stem, three stages of blocks, global pooling, one linear layer."""

    def __init__(self, blocks: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        stages, channels_in = [], width
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(Block(channels_in, width * 2**stage, stride))
                channels_in = width * 2**stage
        self.blocks = nn.Sequential(*stages)
        self.fc = nn.Linear(channels_in, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = self.blocks(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.fc(x.mean(dim=(2, 3)))


@MODELS.register
def resnet(channels: int, classes: int, *, depth: int, width: int = 16) -> nn.Module:
    """CIFAR ResNet of `depth` = 6n + 2 layers whose stages are `width`, 2 and 4 times `width` wide.

    Depth 20 with width 16 is the paper's ResNet-20: 272,474 parameters, 270,896 of them prunable.

    Raises:
        InvalidInput: `depth` is not 6n + 2 with n >= 1, or `width` is not positive.

    Source: He et al. 2016, section 4.2, with projection shortcuts (option B): the parameter counts
    in Frankle, Schwab & Morcos 2020 allow no other.
    """
    if depth < 8 or (depth - 2) % 6:
        raise InvalidInput(f"network resnet: depth {depth} is not 6n + 2 (8, 14, 20, 26, 32, ...)")
    if width < 1:
        raise InvalidInput(f"network resnet: width must be at least 1, got {width}")
    return ResNet((depth - 2) // 6, width, channels, classes)


def prunable_names(model: nn.Module) -> list[str]:
    """Names of the tensors that IMP prunes: weights of convolutions and linear layers, in order.

    Shortcuts, the first and the last layer are included; biases and batch norm never are.

    Source: OpenLTH, the code of the paper's first author.
    """
    return [
        f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]


def initial_state(model: nn.Module, seed: int) -> Weights:
    """State dict of the network at iteration 0 in the replicate `seed`.

    Convolutions and linear weights: Kaiming normal, fan-in. Batch norm: scale uniform on [0, 1],
    shift 0. The linear bias: uniform within 1 / sqrt(fan-in) of 0, PyTorch's own law.

    Source: OpenLTH (`kaiming_normal` weights, `uniform` batch norm).
    """
    state = state_of(model)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = f"{name}.weight"
            state[weight] = draw_initial(weight, state[weight].shape, seed)
            if layer.bias is not None:
                bound = 1 / math.sqrt(math.prod(state[weight].shape[1:]))
                bias = generator(seed, "initial", f"{name}.bias").uniform(-bound, bound, layer.bias.shape)
                state[f"{name}.bias"] = bias.astype(np.float32)
        elif isinstance(layer, nn.BatchNorm2d):
            scale = generator(seed, "initial", f"{name}.weight").random(layer.num_features, np.float32)
            state[f"{name}.weight"] = scale
            state[f"{name}.bias"] = np.zeros(layer.num_features, np.float32)
    return state


def state_of(model: nn.Module) -> Weights:
    """Copy of the whole state dict (weights, batch norm, running statistics) as contiguous arrays."""
    return {
        name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in model.state_dict().items()
    }


def load_state(model: nn.Module, state: Weights) -> None:
    """Copy `state` into `model`, in place.

    Raises:
        InvalidInput: names or shapes differ: the state belongs to another network.
    """
    own = model.state_dict()
    for name in own.keys() ^ state.keys():
        where = "lacks" if name in own else "has an unknown"
        raise InvalidInput(f"the checkpoint belongs to another network: it {where} tensor {name!r}")
    for name, tensor in own.items():
        if tuple(tensor.shape) != state[name].shape:
            raise InvalidInput(
                f"the checkpoint belongs to another network: {name!r} has shape {state[name].shape}, "
                f"this network's is {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(state[name]))
