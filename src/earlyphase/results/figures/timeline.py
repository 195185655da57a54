"""Figure 2, computed: where the sub-phases of early training begin and end."""

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.telemetry import diverged_seeds
from earlyphase.results.summaries import Tables, over_seeds
from earlyphase.results.timeline import before_decay, known_to_the_grid, label_of
from earlyphase.results.timeline import timeline as timeline_of

NARROW = 30  # iterations; left of there is no room for a text
PHASES = ("burst_end", "plateau_start", "deceleration")  # what parts the shaded spans


@figure(
    reads=("telemetry", "evaluations"),
    uses=(
        "curvature", "pairs", "imp", "dense", "stability", "deficits", "kernel", "pretrained_dense",
        "pretrained_imp",
    ),
)  # fmt: skip
def timeline(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw every event of early training on one axis of iterations, below the gradient's course.

    Args:
        tables: of one network: `telemetry` and `evaluations`; `curvature` with `pairs`, `imp` with
            `dense`, and `pretrained_dense` with `pretrained_imp`, where there are both; `deficits`;
            `stability`; `kernel`.

    Returns:
        The figure, and the table of events.

    Source: Frankle, Schwab & Morcos 2020, Figure 2, whose boxes were drawn by hand.
    """
    lost = diverged_seeds(tables["telemetry"], tables["evaluations"])
    sound = {name: table[~table["seed"].isin(lost)] for name, table in tables.items()}
    events = timeline_of(sound).assign(diverged=len(lost))
    window = before_decay(sound["telemetry"])
    last = max(window["iteration"].max(), events["high"].max())
    with style.house_style():
        drawn = Figure(figsize=(7.0, 4.0), layout="constrained")
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(1.1, 1))
        style.curve_with_band(above, over_seeds(window, ["iteration"], "gradient_norm"), color=style.DARK)
        above.set_ylabel("Gradient, L2 norm")
        for ax in (above, below):
            style.iteration_axis(ax, last)
        draw_phases([above, below], events, last)
        draw_events(below, events)
        above.set_xlabel("")
        above.set_title(style.network_of(tables["telemetry"]), loc="left")
        seeds = window["seed"].nunique()
        spread = "dots and line are means, bars and band ± sample standard deviation"
        style.add_note(drawn, f"{seeds} seeds: {spread}" if seeds > 1 else "One seed: no standard deviation")
        if (events["mean"] - events["std"] < 0).any():
            style.add_note(drawn, "A bar without an end on the left goes on below 0")
        if known_to_the_grid(events).any():
            grid = "from the last measured time before an event to the first after it, over all seeds"
            style.add_note(drawn, f"Broad lines reach {grid}; nothing is known between")
        style.add_note(
            drawn, "The shading changes where most seeds agree: after the burst, the plateau, the slowing"
        )
        if lost:
            style.add_note(drawn, f"Left out, diverged: seeds {', '.join(map(str, lost))}")
    return drawn, events


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
    ax.set_yticks(range(len(events)), list(map(label_of, events["event"])))
    for place, (_, event) in enumerate(events.iterrows()):
        if not event["n"]:
            ax.text(0.02, place, "not found", va="center", fontsize=7, transform=ax.get_yaxis_transform())
            continue
        if known_to_the_grid(event):
            ends = event["low"], event["high"]
            ax.plot(ends, [place, place], color=style.DARK, linewidth=7, solid_capstyle="butt")
        else:
            spread = np.nan_to_num(event["std"])
            ends = event["mean"] - spread, event["mean"] + spread
            look = {"fmt": "o", "color": style.DARK, "markersize": 4, "elinewidth": 0.9, "capsize": 2}
            ax.errorbar(event["mean"], place, xerr=spread, **look)
        missing = f"  ({event['n']} of {event['n'] + event['not_found']} seeds)" if event["not_found"] else ""
        annotate_bar(ax, when(event) + missing, ends, place, broad=known_to_the_grid(event))
    ax.set_ylim(len(events) - 0.5, -0.5)
    ax.grid(visible=False)


def when(event: Series) -> str:
    """Write the iteration of an event that was found, or the measured times that it lies between."""
    if known_to_the_grid(event):
        return f"between {event['low']:,.0f} and {event['high']:,.0f}"
    return f"{event['mean']:,.0f}" + ("" if np.isnan(event["std"]) else f" ± {event['std']:,.0f}")


def annotate_bar(ax: Axes, text: str, ends: tuple[float, float], place: int, *, broad: bool) -> None:
    """Write `text` right of a bar, left of a late one; where there is no room, above it or on a broad one."""
    last, middle = ax.get_xlim()[1], sum(ends) / 2
    if middle <= last / 5:
        end, shift, alignment = ends[1], (6, 0), {"ha": "left", "va": "center"}
    elif ends[0] > NARROW:
        end, shift, alignment = ends[0], (-6, 0), {"ha": "right", "va": "center"}
    elif broad:
        end, shift = np.sqrt(max(ends[0], 1) * ends[1]), (0, 0)
        alignment = {"ha": "center", "va": "center_baseline", "color": "white"}
    else:
        end, shift, alignment = middle, (0, 4), {"ha": "right", "va": "bottom"}
    ax.annotate(text, (end, place), shift, textcoords="offset points", fontsize=7, **alignment)
