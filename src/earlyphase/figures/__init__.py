"""Tables to figures.

A figure is a registered function: tables by name -> (figure, the points it shows). Each section of the
paper has its module; importing it registers what it draws.
"""

from earlyphase.figures import effective_std, one_round, perturbed, rewinding, subspace, telemetry, timeline
from earlyphase.figures.style import FIGURES, render

__all__ = [
    "FIGURES",
    "effective_std",
    "one_round",
    "perturbed",
    "render",
    "rewinding",
    "subspace",
    "telemetry",
    "timeline",
]
