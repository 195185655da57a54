"""The numbers of a figure to sentences: what was found.

Each function takes the points that a figure shows, as its function returns them, and gives sentences. Which
one speaks for a figure, `questions.yaml` says under `say`. Nothing here knows what a study found.
"""

from collections.abc import Callable
from math import floor, log10

from pandas import DataFrame, Series, isna

from earlyphase.results.summaries import IDENTICAL
from earlyphase.results.timeline import label_of, when

CURVES = {  # over iterations: name, factor to its unit, unit
    "accuracy": ("test accuracy", 100, " %"),
    "loss": ("test loss", 1, " nats"),
    "mean_magnitude": ("mean magnitude of the weights", 1, ""),
    "sign_changes": ("weights whose sign is not the initial one", 100, " %"),
    "gradient_norm": ("norm of a mini-batch's gradient", 1, ""),
    "distance_initial": ("distance of the weights from the initial ones", 1, ""),
    "distance_final": ("distance of the weights from the final ones", 1, ""),
    "cosine_initial": ("cosine of the weights with the initial ones", 1, ""),
    "cosine_final": ("cosine of the weights with the final ones", 1, ""),
    "gradient_share": ("share of the gradient in the top subspace", 100, " %"),
    "minibatch_share": ("share of a mini-batch's gradient in the top subspace", 100, " %"),
    "displacement_share": ("share of the way from the start in the top subspace", 100, " %"),
    "random_share": ("share of the gradient in a random subspace", 100, " %"),
    "fisher_trace": ("trace of the Fisher information", 1, ""),
    "empirical_fisher": ("trace of the empirical Fisher information", 1, ""),
}
MOST = 6  # curves of a panel that are told one by one; a panel of more is left to the figure


def share(density: float) -> str:
    """A density as people say it: "10.7 % of the weights"."""
    return f"{100 * density:.3g} % of the weights"


def of(number: float) -> str:
    """A number of any size with three digits."""
    return f"{number:,.0f}" if abs(number) >= 1000 or not number else f"{number:#.3g}".removesuffix(".")


def spread(mean: float, std: float, scale: float = 1, unit: str = "") -> str:
    """A mean with its sample standard deviation: "88.2 ± 1.1 %".

    Accuracies, of which `scale` makes percent, have one decimal; others as many as give the deviation two
    digits.
    """
    if isna(mean):
        return "no number, since every run diverged"
    mean, std = scale * mean, scale * (0.0 if std <= IDENTICAL else std)
    decimals = 1 if scale != 1 else decimals_of(std)
    if decimals is None:
        return of(mean) + ("" if isna(std) else f" ± {of(std)}") + unit
    return f"{mean:,.{decimals}f}" + ("" if isna(std) else f" ± {std:,.{decimals}f}") + unit


def decimals_of(std: float) -> int | None:
    """Decimals that give a standard deviation two digits; None where these are too many, or none."""
    if isna(std) or not 1e-4 <= std < 1e6:
        return None
    return max(0, 1 - floor(log10(std)))


def at_times(row: Series, scale: float, unit: str) -> str:
    """The mean of a row, with its sample standard deviation, or with the factor that a geometric mean has."""
    if "factor" not in row:
        mean, std = scale * row["mean"], scale * row["std"]
        return spread(mean, std, unit=unit)
    factor = "" if isna(row["factor"]) else f" (times or divided by {row['factor']:.2g})"
    return of(scale * row["mean"]) + unit + factor


def seeds(points: DataFrame) -> str:
    """How many seeds numbers are over: "5 seeds", "3 to 5 seeds"."""
    fewest, most = int(points["n"].min()), int(points["n"].max())
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{number} seed{'s' if most != 1 else ''}"


def listed(words: list[str]) -> str:
    """Join words: "a, b and c"."""
    return words[0] if len(words) < 2 else f"{', '.join(words[:-1])} and {words[-1]}"


def accuracies(points: DataFrame) -> list[str]:
    """The dense network, and all curves of a panel at the sparsest round that they share, from high to low.

    Args:
        points: `round`, `density`, `mean`, `std`, `n`; the panel is `panel` or `k`, the curve `curve` or `k`.
            Without a panel or a k a row is the dense network.
    """
    named = points.assign(
        panel=points["panel"] if "panel" in points else [as_k(k) for k in points["k"]],
        curve=points["curve"] if "curve" in points else [as_k(k) for k in points["k"]],
    )
    if "curve" not in points:
        named["panel"] = named["panel"].where(points["k"].isna(), "")
    sentences = []
    dense = named[named["panel"].isna()]
    if len(dense):
        row = dense.iloc[0]
        sentences.append(
            f"The dense network reaches {spread(row['mean'], row['std'], 100, ' %')} ({seeds(dense)})."
        )
    for panel, own in named[named["panel"].notna()].groupby("panel", sort=False):
        sentences.append(at_the_sparsest(str(panel), own))
    return sentences


def as_k(k: float) -> str | None:
    """What a rewind iteration is called."""
    return None if isna(k) else f"k = {int(k):,}"


def at_the_sparsest(panel: str, points: DataFrame) -> str:
    """One sentence on one panel of `accuracies`."""
    rounds = points.groupby("round")["curve"].nunique()
    chosen = points[points["round"] == rounds[rounds == rounds.max()].index.max()]
    ordered = chosen.sort_values("mean", ascending=False, na_position="last")
    told = [
        f"{row['curve']} with {spread(row['mean'], row['std'], 100, ' %')}" for _, row in ordered.iterrows()
    ]
    where = f"{panel.replace('_', ' ')}, at" if panel else "At"
    order = ", from high to low" if len(told) > 1 else ""
    return f"{where} {share(chosen['density'].mean())}{order}: {'; '.join(told)} ({seeds(chosen)})."


def relation(points: DataFrame) -> list[str]:
    """How accuracy goes with the size of a perturbation, for each k: Pearson's r, and both ends."""
    sentences = []
    for k, own in points.groupby("k"):
        ordered = own.dropna(subset=["mean"]).sort_values("effective_std")
        if ordered.empty:
            continue
        ends = [
            f"{row['perturbation'].replace('_', ' ')} (size {of(row['effective_std'])}) ends at "
            f"{spread(row['mean'], row['std'], 100, ' %')}"
            for _, row in ordered.iloc[[0, -1] if len(ordered) > 1 else [0]].iterrows()
        ]
        r, p = ordered.iloc[0][["r", "p"]]
        line = (
            f"Pearson's r of accuracy with size is {r:.2f} (p = {p:.2g})"
            if not isna(r)
            else "too few perturbations for a correlation"
        )
        sentences.append(
            f"k = {int(k):,}, {len(ordered)} perturbations: {line}; {listed(ends)} ({seeds(own)})."
        )
    return sentences


def courses(points: DataFrame) -> list[str]:
    """Where each curve over iterations begins and ends, and where between it is highest or lowest.

    Args:
        points: `curve`, `iteration`, `mean`, `std` or `factor`, `n`; `panel`, where there are several, and
            `statistics`.
    """
    by = [name for name in ("panel", "statistics", "curve") if name in points]
    kinds = points["statistics"].nunique() if "statistics" in points else 1
    few = [
        own
        for _, own in (points.groupby("panel", sort=False) if "panel" in points else [("", points)])
        if own["curve"].nunique() <= MOST
    ]
    return [
        course_of(own.sort_values("iteration"), several=kinds > 1)
        for panel in few
        for _, own in panel.groupby(by, sort=False)
        if own["mean"].notna().any()
    ]


def course_of(points: DataFrame, *, several: bool) -> str:
    """One sentence on one curve of `courses`; `several` kinds of statistics are told apart."""
    own = str(points["curve"].iloc[0])
    title, scale, unit = CURVES.get(own, (title_of(points.iloc[0]), 1, ""))
    title += f" ({points['statistics'].iloc[0]} statistics)" if several else ""
    known = points.dropna(subset=["mean"])
    first, last = known.iloc[0], known.iloc[-1]
    begins = f"{title}: {{}}{at_times(first, scale, unit)} at iteration {first['iteration']:,.0f}"
    if len(known) == 1:
        return f"{begins.format('')} ({seeds(known)})."
    between = known.iloc[1:-1]
    turns = [
        f"{word} {of(scale * row['mean'])}{unit} at {row['iteration']:,.0f}"
        for word, at, beyond in (("lowest", "idxmin", -1), ("highest", "idxmax", 1))
        if len(between) and is_beyond(row := between.loc[getattr(between["mean"], at)()], first, last, beyond)
    ]
    return (
        f"{begins.format('from ')} to {at_times(last, scale, unit)} at {last['iteration']:,.0f}"
        f"{'; ' if turns else ''}{', '.join(turns)} ({seeds(known)})."
    )


def title_of(row: Series) -> str:
    """What a curve is called, after its panel where its own name does not say that."""
    panel, curve = (str(row.get(name, "")).replace("_", " ") for name in ("panel", "curve"))
    return curve if panel in curve else f"{panel}, {curve}"


def is_beyond(row: Series, first: Series, last: Series, side: int) -> bool:
    """Whether a point lies above (`side` 1) or below (-1) both ends of its curve."""
    return all(side * (row["mean"] - end["mean"]) > 0 for end in (first, last))


def losses(points: DataFrame) -> list[str]:
    """What deficits or regimes in windows lead to: accuracy, what is lost, and how factors shift that."""
    told, several = [], "model" in points and points["model"].nunique() > 1
    for _, row in points[points["measure"].isin(["accuracy", "lost", "shift"])].iterrows():
        regime = f"{row['model']}, {row['regime']}" if several else row["regime"]
        sentence = f"{regime}: {window_of(row)} {outcome_of(row)}".replace("_", " ")
        told.append(f"{sentence} (n = {int(row['n'])}).")
    return told


def window_of(row: Series) -> str:
    """The deficit, or what was held, of a row of `losses`, and when."""
    what = row.get("deficit", row.get("curve"))
    if "deficit" in row and what == "supervised":  # the task itself: a control
        what = "no deficit" if row["first"] == row["end"] else "the own task in place of a deficit"
    if row["first"] == row["end"]:
        return what if what == "no deficit" else f"{what} for none of the time"
    return f"{what} in iterations {int(row['first']):,} to {int(row['end']):,}"


def outcome_of(row: Series) -> str:
    """What a row of `losses` measures, in words."""
    if row["measure"] == "accuracy":
        return f"ends at {spread(row['mean'], row['std'], 100, ' %')}"
    if row["measure"] == "lost":
        return f"costs {spread(row['mean'], row['std'], 100, ' points')}"
    than = "less" if row["mean"] < 0 else "more"
    number = spread(abs(row["mean"]), row["std"], 100, " points")
    return f"costs {number} {than} than the first network loses under base"


def instabilities(points: DataFrame) -> list[str]:
    """How unstable the dense network and tickets are to the noise of SGD, by when two copies part."""
    sentences = []
    rises = points[points["quantity"] == "instability"]
    for number, own in rises.groupby("round"):
        name = "The dense network" if number == 0 else f"Tickets at {share(own['density'].mean())}"
        told = [
            f"{spread(row['mean'], row['std'], 100, ' points')} from k = {int(row['k']):,}"
            for _, row in own.sort_values("k").iterrows()
        ]
        sentences.append(f"{name}: the error on the line rises by {listed(told)} ({seeds(own)}).")
    for _, row in points[points["quantity"] == "rewinding_matches"].iterrows():
        sentences.append(f"Tickets match the dense network from k = {int(row['k']):,} on.")
    return sentences


def gains(points: DataFrame) -> list[str]:
    """From which density on sparse files are smaller than the dense network's, and runtimes faster."""
    sentences = []
    for (quantity, batch), own in points.groupby(["quantity", "batch"], sort=False):
        what = "Size of the file" if quantity == "bytes" else f"Time for an image, {int(batch)} at a time"
        gaining = own.dropna(subset=["breaks_even"]).drop_duplicates("curve")
        told = [
            f"“{row['curve']}” from {share(row['breaks_even'])} down".replace("\n", " ")
            for _, row in gaining.iterrows()
        ]
        said = (
            f"surely below the dense network's best with {listed(told)}"
            if told
            else ("no way surely goes below the dense network's best")
        )
        sentences.append(f"{what}: {said} ({seeds(own)}).")
    return sentences


def events(points: DataFrame) -> list[str]:
    """When the events of the first iterations fall, in their order, and which were not found."""
    found = points[points["n"] > 0].sort_values("mean")
    told = [f"{label_of(row['event'])} {when(row)}" for _, row in found.iterrows()]
    missing = [label_of(name).removesuffix(" =") for name in points.loc[points["n"] == 0, "event"]]
    sentences = [f"In this order: {'; '.join(told)}."] if told else []
    return sentences + ([f"Not found in any seed: {'; '.join(missing)}."] if missing else [])


SAY: dict[str, Callable[[DataFrame], list[str]]] = {
    "accuracies": accuracies,
    "relation": relation,
    "courses": courses,
    "losses": losses,
    "instabilities": instabilities,
    "gains": gains,
    "events": events,
}
