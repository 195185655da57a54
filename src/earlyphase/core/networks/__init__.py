"""Networks: importing this registers each; a new one is a module here, or a plugin."""

from earlyphase.core.networks import lenet, resnet, vgg, wide_resnet
from earlyphase.registry import network

__all__ = ["lenet", "network", "resnet", "vgg", "wide_resnet"]
