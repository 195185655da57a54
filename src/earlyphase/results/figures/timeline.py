"""Figure 2, computed: where the sub-phases of early training begin and end."""

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    curve_with_band,
    house_style,
    iteration_axis,
)
from earlyphase.results.figures.telemetry import DARK, diverged_seeds
from earlyphase.results.summaries import curve_over_seeds
from earlyphase.results.timeline import before_decay, known_to_the_grid, label_of, when
from earlyphase.results.timeline import timeline as timeline_of

TOGETHER = (
    ("curvature", "pairs"),
    ("imp", "dense"),
    ("pretrained_dense", "pretrained_imp"),
    ("deficits",),
    ("stability",),
)  # tables of no use without each other
NARROW = 30  # iterations; left of there is no room for a text
PHASES = ("burst_end", "plateau_start", "deceleration")  # what parts the shaded spans


@figure(
    reads=("telemetry", "evaluations"),
    uses=(
        "curvature",
        "pairs",
        "imp",
        "dense",
        "stability",
        "deficits",
        "pretrained_dense",
        "pretrained_imp",
    ),
)
def timeline(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw every event of early training on one axis of iterations, below the gradient's course.

    Args:
        tables: of one network: `telemetry` and `evaluations`; `curvature` with `pairs`, `imp` with
            `dense`, and `pretrained_dense` with `pretrained_imp`, where there are both; `deficits`;
            `stability`.

    Returns:
        The figure, and the table of events.

    Source: Frankle, Schwab & Morcos 2020, Figure 2, whose boxes were drawn by hand.
    """
    lost = diverged_seeds(tables["telemetry"], tables["evaluations"])
    sound = {name: tables[name][~tables[name]["seed"].isin(lost)] for name in measured(tables)}
    events = timeline_of(sound).assign(diverged=len(lost))
    window = before_decay(sound["telemetry"])
    last = max(window["iteration"].max(), events["high"].max())
    with house_style():
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.1, 1))
        curve_with_band(above, curve_over_seeds(window, "gradient_norm"), color=DARK)
        above.set_ylabel("Gradient, L2 norm")
        for ax in (above, below):
            iteration_axis(ax, last)
        draw_phases([above, below], events, last)
        draw_events(below, events)
        above.set_xlabel("")
        network = tables["telemetry"].iloc[0]
        above.set_title(f"{network['model']}, {network['dataset']}", loc="left")
        note = describe(events, window["seed"].nunique(), lost)
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    return figure, events


def measured(tables: Tables) -> list[str]:
    """Names of the tables that events are found in: of two that need each other, both or none."""
    pairs = [pair for pair in TOGETHER if all(name in tables for name in pair)]
    return ["telemetry", *(name for pair in pairs for name in pair)]


def describe(events: DataFrame, seeds: int, lost: list[int]) -> str:
    """Say what dots, bars and shading are, and which seeds are left out."""
    note = f"Dots and line: means over {seeds} seeds; bars and band: ± sample standard deviation"
    note = note if seeds > 1 else "One seed: no error bars"
    if (events["mean"] - events["std"] < 0).any():
        note += "; bars without an end on the left go on below 0"
    if known_to_the_grid(events).any():
        note += (
            "\nBroad line: from the last measured time before, in any seed, to the first in all; no error bar"
        )
    note += "\nShading changes at the end of the burst, the plateau and the slowing, where most seeds agree"
    if lost:
        note += f"; left out, diverged: seeds {', '.join(map(str, lost))}"
    return note


def draw_phases(axes: list[Axes], events: DataFrame, last: float) -> None:
    """Shade the spans between the boundaries that most seeds show, in turns."""
    shown = events[events["event"].isin(PHASES) & (events["n"] > events["not_found"])]
    edges = [0, *sorted(shown["mean"]), last]
    for number, (start, stop) in enumerate(pairwise(edges)):
        for ax in axes:
            ax.axvspan(start, stop, color=("0.93", "white")[number % 2], linewidth=0, zorder=0)


def draw_events(ax: Axes, events: DataFrame) -> None:
    """Draw a dot with its bar for each event, the iteration beside it, and say which was not found.

    An event that is known to the measuring grid only is a line between its times.
    """
    places = range(len(events))
    ax.set_yticks(places, list(map(label_of, events["event"])))
    ax.invert_yaxis()
    for place, (_, event) in zip(places, events.iterrows(), strict=True):
        seeds = event["n"] + event["not_found"]
        if not event["n"]:
            ax.text(
                0.02,
                place,
                "not found in any seed",
                va="center",
                fontsize=7,
                transform=ax.get_yaxis_transform(),
            )
            continue
        if known_to_the_grid(event):
            ends = event["low"], event["high"]
            ax.plot(ends, [place, place], color=DARK, linewidth=4, solid_capstyle="butt")
        else:
            spread = event["std"] if np.isfinite(event["std"]) else 0
            ends = event["mean"] - spread, event["mean"] + spread
            look = {"fmt": "o", "color": DARK, "markersize": 4, "elinewidth": 0.9, "capsize": 2}
            ax.errorbar(event["mean"], place, xerr=spread, **look)
        text = when(event)
        text += f"  ({event['n']} of {seeds} seeds)" if event["not_found"] else ""
        annotate_bar(ax, text, ends, place)
    ax.set_ylim(len(events) - 0.5, -0.5)
    ax.grid(visible=False)


def annotate_bar(ax: Axes, text: str, ends: tuple[float, float], place: int) -> None:
    """Write `text` right of a bar, left of one that is late, above one that leaves no room on the left."""
    last, middle = ax.get_xlim()[1], sum(ends) / 2
    if middle <= last / 5:
        end, shift, alignment = ends[1], (6, 0), {"ha": "left", "va": "center"}
    elif ends[0] > NARROW:
        end, shift, alignment = ends[0], (-6, 0), {"ha": "right", "va": "center"}
    else:
        end, shift, alignment = middle, (0, 4), {"ha": "right", "va": "bottom"}
    ax.annotate(text, (end, place), shift, textcoords="offset points", fontsize=7, **alignment)
