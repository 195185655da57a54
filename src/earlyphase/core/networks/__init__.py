"""Networks: importing this registers each; a new one is a module here, or a plugin."""

from earlyphase.core.networks import resnet
from earlyphase.registry import network

__all__ = ["network", "resnet"]
