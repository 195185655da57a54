from dataclasses import replace
from typing import Annotated

import numpy as np

from earlyphase import Ticket, branch


@branch
def rounded(ticket: Ticket, seed: int, *, base: Annotated[float, {"exclusiveMinimum": 1}]) -> Ticket:
    """Round each kept weight to a power of `base` times the layer's root mean square; signs stay."""
    changed = {}
    for name, kept in ticket.mask.items():
        values = ticket.weights[name][kept]
        unit = np.linalg.norm(values) / max(len(values), 1) ** 0.5
        powers = np.round(np.log(np.abs(values) / unit) / np.log(base))
        changed[name] = np.zeros(kept.shape, np.float32)  # pruned weights are zero in the result
        changed[name][kept] = np.sign(values) * unit * base**powers
    return replace(ticket, weights=ticket.weights | changed)
