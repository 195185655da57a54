"""Branches: changes to a ticket at iteration k. Which property of its weights does training need?

A perturbation changes the kept, prunable weights and nothing else: batch norm, biases and running
statistics stay at k unless it says otherwise, and pruned weights are zero in its result. Random
numbers belong to a position of a layer, not to the mask or the scale, so that noise of 1 and of 2
standard deviations, or of two rounds, makes a paired contrast.

The starting weights of Zhou et al. 2019, each with and without the sign of iteration 0; like theirs,
the reshuffled ones need a ticket of k = 0:

| kept weights | sign of iteration 0                    | any sign                                   |
|--------------|----------------------------------------|--------------------------------------------|
| original     | combine(signs="0", magnitudes="0")     | combine(signs="fresh", magnitudes="0")     |
| fresh        | combine(signs="0", magnitudes="fresh") | combine(signs="fresh", magnitudes="fresh") |
| reshuffled   | shuffle_magnitudes(signs="0")          | shuffle(scope="layer")                     |
| constant     | constant(signs="0")                    | constant(signs="fresh")                    |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np

from earlyphase.core.criteria import Pruning, magnitude, magnitude_at_k, movement
from earlyphase.core.initial import USUAL, draw_initial, initial_std
from earlyphase.core.masks import Mask, Ranked, Weights, density, gather_kept, scatter_kept
from earlyphase.core.streams import generator
from earlyphase.core.symmetry import channels_of, renamed
from earlyphase.errors import InvalidInput
from earlyphase.registry import branch

State = Literal["k", "0", "fresh"]  # at the rewind iteration, at iteration 0, a new draw from the initial law
AtOnce = Literal["magnitude", "magnitude_at_k", "movement"]  # criteria that need no data
Layers = Annotated[list[Annotated[int, {"minimum": 1}]], {"minItems": 1}]  # places in the network, from 1 on
Scope = Literal["global", "layer", "filter", "kernel", "incoming", "outgoing"]

# Axes of a weight (out, in, height, width) that tell the groups of a scope apart.
SCOPE_AXES: dict[str, tuple[int, ...]] = {
    "layer": (),
    "filter": (0,),  # 3-D: all that one output channel reads
    "kernel": (0, 1),  # 2-D: one output channel reading one input channel
    "incoming": (0,),  # of a unit: another name of "filter"
    "outgoing": (1,),  # of a unit: all that reads one input channel
}


@dataclass(frozen=True)
class Ticket:
    """A sub-network at its starting point, and what a branch may want to know of where it comes from.

    Attributes:
        weights: the dense network's whole state dict at the rewind iteration k.
        initial: the same at iteration 0.
        final: the same at the end of training.
        mask: found by IMP that rewound to k.
        iteration: the clock at which training starts: k.
        round: of pruning, that found the mask; at least 1.
        reference: what the size of a change is measured against; None is `weights` before the first branch.
        initialisation: the law of initial weights: a registered function and its arguments.
    """

    weights: Weights
    initial: Weights
    final: Weights
    mask: Mask
    iteration: int
    round: int
    reference: Weights | None = None
    initialisation: Mapping[str, Any] = field(default_factory=lambda: USUAL)


def apply(entries: Sequence[Mapping], ticket: Ticket, seed: int) -> Ticket:
    """Apply configured branches one after the other.

    Args:
        entries: of each branch its `function` and that function's arguments.
    """
    for entry in entries:
        ticket = branch.bound(entry)(ticket, seed)
    return ticket


def size_of_change(before: Ticket, after: Ticket) -> tuple[float, float]:
    """Mean and standard deviation of what branches changed in the kept weights: see `effective_std`."""
    reference = before.weights if after.reference is None else after.reference
    return effective_std(reference, after.weights, after.mask)


def effective_std(before: Weights, after: Weights, mask: Mask) -> tuple[float, float]:
    """Mean and population standard deviation of the change, over the kept weights of all layers pooled.

    For one layer, pass a mask of that layer. Where nothing is kept, both are 0.

    Source: Frankle, Schwab & Morcos 2020, section 4.
    """
    change = gather_kept(after, mask).astype(float) - gather_kept(before, mask)
    return (float(change.mean()), float(change.std())) if change.size else (0.0, 0.0)


@branch
def rewind(ticket: Ticket, seed: int) -> Ticket:
    """Change nothing: the sub-network at k."""
    return _with_kept(ticket, ticket.weights)


@branch(clock=0)
def rewind_to_0(ticket: Ticket, seed: int) -> Ticket:
    """Take the whole state of iteration 0, batch norm too, under the mask of k, and train from 0.

    Source: Frankle, Schwab & Morcos 2020, Figure 4.
    """
    return _with_kept(replace(ticket, weights=ticket.initial, iteration=0), ticket.initial)


@branch
def rewind_layers_to_0(ticket: Ticket, seed: int, *, layers: Layers) -> Ticket:
    """Take the kept weights of some layers from iteration 0, all else from k, and train from k.

    Args:
        layers: places of convolutions and linear layers among all, in the network's order from 1 on.

    Raises:
        InvalidInput: the network has fewer layers.

    Source: Zhang, Bengio & Singer 2019, who do so after training, layer by layer.
    """
    names = list(ticket.mask)
    if max(layers) > len(names):
        raise InvalidInput(
            f"rewind_layers_to_0: layers has {max(layers)}, but the network has {len(names)} layers; at most "
            "that is right"
        )
    return _with_kept(
        ticket, ticket.weights | {names[at - 1]: ticket.initial[names[at - 1]] for at in layers}
    )


@branch(needs="batch norm")
def batch_norm_from_0(ticket: Ticket, seed: int) -> Ticket:
    """Keep the weights of k; take all that is not prunable (batch norm, biases) from iteration 0."""
    return _with_kept(replace(ticket, weights=ticket.initial), ticket.weights)


@branch
def combine(ticket: Ticket, seed: int, *, signs: State, magnitudes: State) -> Ticket:
    """Give each weight the sign it has in one state and the magnitude it has in another.

    A state is "k", "0" or "fresh": a new draw from the law of initial weights. Fresh signs with fresh
    magnitudes are the random reinitialisation of Frankle & Carbin 2019.

    Source: Frankle, Schwab & Morcos 2020, Figure 4.
    """
    return _with_signs(ticket, seed, _state(ticket, seed, magnitudes), signs)


@branch
def constant(ticket: Ticket, seed: int, *, signs: State) -> Ticket:
    """Give every weight the initial standard deviation of its layer, with the sign of a state.

    Source: Zhou et al. 2019, section 4.
    """
    flat = {
        name: np.full(kept.shape, initial_std(kept.shape, ticket.initialisation), np.float32)
        for name, kept in ticket.mask.items()
    }
    return _with_signs(ticket, seed, flat, signs)


@branch(needs={"scope": {"kernel": "convolutions"}})
def shuffle(ticket: Ticket, seed: int, *, scope: Scope, keep_signs: bool = False) -> Ticket:
    """Permute the kept weights within each group of `scope`.

    The filters of the paper are probably the scope "kernel": in an untrained network its shuffle moves
    weights 0.7 times as far as that of a layer, "filter" 0.99 times; the paper's figures, as recalled,
    give 0.64. "kernel" moves nothing in 1x1 convolutions and the linear layer.

    Args:
        scope: "global" or a key of `SCOPE_AXES`.
        keep_signs: permute positive weights among positive ones, negative among negative ones.

    Source: Frankle, Schwab & Morcos 2020, Figure 5; with `keep_signs` Figure 6.
    """
    values = gather_kept(ticket.weights, ticket.mask)
    groups = scope_groups(ticket.mask, scope)
    if keep_signs:
        groups = 2 * groups + np.signbit(values)
    return _with_kept(ticket, _permute_within(groups, values, ticket.mask, seed))


@branch(needs={"scope": {"kernel": "convolutions"}})
def shuffle_magnitudes(ticket: Ticket, seed: int, *, scope: Scope = "layer", signs: State = "0") -> Ticket:
    """Permute the kept magnitudes within `scope`; each position then has its sign in the state `signs`.

    Unlike `shuffle` with `keep_signs`, this mixes the magnitudes of positive and negative weights.

    Source: Frankle, Schwab & Morcos 2020, Figure 6, signs at initialisation.
    """
    values = gather_kept(ticket.weights, ticket.mask)
    groups = scope_groups(ticket.mask, scope)
    return _with_signs(ticket, seed, _permute_within(groups, values, ticket.mask, seed), signs)


@branch
def gaussian_noise(ticket: Ticket, seed: int, *, scale: Annotated[float, {"minimum": 0}]) -> Ticket:
    """Add Gaussian noise, `scale` times the initial standard deviation of each layer.

    Source: Frankle, Schwab & Morcos 2020, Figure 7.
    """
    std = {name: scale * initial_std(kept.shape, ticket.initialisation) for name, kept in ticket.mask.items()}
    return _with_noise(ticket, seed, std)


@branch
def change_one_weight(ticket: Ticket, seed: int, *, scale: Annotated[float, {"minimum": 0}]) -> Ticket:
    """Add `scale` times the initial standard deviation of its layer to one kept weight, drawn at random.

    Source: Kwok, Altıntaş, Raffel & Rolnick 2025, the smallest of their perturbations.
    """
    count = sum(int(kept.sum()) for kept in ticket.mask.values())
    place = generator(seed, "perturb", "one weight").integers(count)
    chosen = scatter_kept(np.arange(count) == place, ticket.mask)
    changed = {
        name: ticket.weights[name] + np.float32(scale * initial_std(kept.shape, ticket.initialisation)) * kept
        for name, kept in chosen.items()
    }
    return _with_kept(ticket, changed)


@branch(needs={"scope": {"kernel": "convolutions"}})
def matched_noise(ticket: Ticket, seed: int, *, scope: Scope, keep_signs: bool = False) -> Ticket:
    """Add Gaussian noise as large, layer by layer, as the change that a shuffle makes.

    Compared with that shuffle, it separates the size of a perturbation from the structure that it destroys.
    """
    shuffled = shuffle(ticket, seed, scope=scope, keep_signs=keep_signs).weights
    std = {
        name: effective_std(ticket.weights, shuffled, {name: kept})[1] for name, kept in ticket.mask.items()
    }
    return _with_noise(ticket, seed, std)


@branch(needs={"scope": {"kernel": "convolutions"}})
def shuffle_mask(ticket: Ticket, seed: int, *, scope: Scope = "layer") -> Ticket:
    """Keep other weights, as many within each group of `scope`, chosen at random: random pruning.

    Apply it before branches that change weights: those that a new mask keeps must not be zero yet.

    Source: Frankle, Schwab & Morcos 2020, Figure 10, within layers.
    """
    every = {name: np.ones(kept.shape, bool) for name, kept in ticket.mask.items()}
    keeps = gather_kept(ticket.mask, every)
    mask = _permute_within(scope_groups(every, scope), keeps, every, seed)
    return _with_kept(replace(ticket, mask=mask), ticket.weights)


@branch
def one_shot(
    ticket: Ticket, seed: int, *, criterion: AtOnce = "magnitude", scope: Ranked = "global"
) -> Ticket:
    """Keep as many weights as the round does, but pruned at once, from the trained dense network.

    In the first round that is the mask of the round itself. Apply it first, as `shuffle_mask`.

    Args:
        criterion: what they are ranked by; the registered criterion of that name says how.
        scope: where they are ranked; under "layer" every layer keeps the same share, rounded.

    Source: Frankle & Carbin 2019, one-shot pruning.
    """
    every = {name: np.ones(kept.shape, bool) for name, kept in ticket.mask.items()}
    given = Pruning(ticket.final, ticket.weights, every, 1 - density(ticket.mask))
    prune = {"magnitude": magnitude, "magnitude_at_k": magnitude_at_k, "movement": movement}[criterion]
    return _with_kept(replace(ticket, mask=prune(given, seed, scope=scope)), ticket.weights)


@branch(networks=("resnet", "resnet18", "vgg", "conv", "lenet_300_100"))
def permute_channels(ticket: Ticket, seed: int) -> Ticket:
    """Rename the hidden channels: mask, batch norm and other states follow, so the function is the same.

    A shuffle that destroys nothing: training must not notice it, up to rounding. Nor is it a change of any
    size: weights are compared under their new names.

    Raises:
        InvalidInput: the network is not one of those whose channels `symmetry` knows.
    """
    channels = channels_of(ticket.weights)
    reference = ticket.weights if ticket.reference is None else ticket.reference
    weights, initial, final, mask, reference = (
        renamed(tensors, channels, seed)
        for tensors in (ticket.weights, ticket.initial, ticket.final, ticket.mask, reference)
    )
    after = replace(ticket, weights=weights, initial=initial, final=final, mask=mask, reference=reference)
    return rewind(after, seed)


def scope_groups(mask: Mask, scope: str) -> np.ndarray:
    """Number of the group of `scope` that each kept weight is in, (kept,), in `gather_kept`'s order.

    Raises:
        InvalidInput: no scope has that name.
    """
    if scope == "global":
        return np.zeros(sum(int(kept.sum()) for kept in mask.values()), int)
    if scope not in SCOPE_AXES:
        raise InvalidInput(f"unknown scope {scope!r} (known: global, {', '.join(SCOPE_AXES)})")
    groups, start = [], 0
    for kept in mask.values():
        sizes = [size if axis in SCOPE_AXES[scope] else 1 for axis, size in enumerate(kept.shape)]
        numbers = start + np.arange(np.prod(sizes)).reshape(sizes)
        groups.append(np.broadcast_to(numbers, kept.shape)[kept])
        start += numbers.size
    return np.concatenate(groups)


def _permute_within(groups: np.ndarray, values: np.ndarray, mask: Mask, seed: int) -> Weights:
    """Permute `values` (kept,) among those of equal group, every permutation equally likely."""
    keys = {
        name: generator(seed, "perturb", "shuffle", name).random(kept.shape) for name, kept in mask.items()
    }
    permuted = np.empty_like(values)
    permuted[np.argsort(groups, kind="stable")] = values[np.lexsort((gather_kept(keys, mask), groups))]
    return scatter_kept(permuted, mask)


def _with_kept(ticket: Ticket, values: Weights) -> Ticket:
    """Put `values` on the kept weights and zero on the pruned ones."""
    pruned = {name: np.where(kept, values[name], np.float32(0)) for name, kept in ticket.mask.items()}
    return replace(ticket, weights=ticket.weights | pruned)


def _with_signs(ticket: Ticket, seed: int, magnitudes: Weights, signs: State) -> Ticket:
    """Put `magnitudes` on the kept weights, with the signs of the state `signs`; 0 has a sign too."""
    signed = _state(ticket, seed, signs)
    return _with_kept(ticket, {name: np.copysign(magnitudes[name], signed[name]) for name in ticket.mask})


def _with_noise(ticket: Ticket, seed: int, std: dict[str, float]) -> Ticket:
    """Add Gaussian noise to the kept weights, layer by layer of the given standard deviation."""
    noisy = {}
    for name, kept in ticket.mask.items():
        normal = generator(seed, "perturb", "noise", name).standard_normal(kept.shape, np.float32)
        noisy[name] = ticket.weights[name] + np.float32(std[name]) * normal
    return _with_kept(ticket, noisy)


def _state(ticket: Ticket, seed: int, source: State) -> Weights:
    """Prunable weights at "k", at "0" or of a "fresh" draw."""
    match source:
        case "k":
            return ticket.weights
        case "0":
            return ticket.initial
        case "fresh":
            return {
                name: draw_initial(name, kept.shape, seed, "perturb fresh", ticket.initialisation)
                for name, kept in ticket.mask.items()
            }
    raise InvalidInput(f"signs and magnitudes come from k, 0 or fresh, not from {source!r}")
