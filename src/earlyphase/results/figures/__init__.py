"""Tables to figures.

A figure is a registered function: tables by name -> (figure, the points it shows). Each section of the
paper has its module; importing it registers what it draws.
"""

from earlyphase.registry import figure
from earlyphase.results.figures import (
    effective_std,
    one_round,
    perturbed,
    rewinding,
    subspace,
    telemetry,
    timeline,
)
from earlyphase.results.figures.style import render

__all__ = [
    "FIGURES",
    "effective_std",
    "figure",
    "one_round",
    "perturbed",
    "render",
    "rewinding",
    "subspace",
    "telemetry",
    "timeline",
]
