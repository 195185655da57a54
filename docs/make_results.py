#!/usr/bin/env python3
"""Write the tables of docs/results.md and docs/cifar10.md from the tables of runs under docs/results.

A table of a page stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function below.
Accuracies are in %, mean ± sample standard deviation over seeds; differences within seeds in points, with
their two-sided 95 % interval in brackets. A test holds the pages to what this makes.
usage: python docs/make_results.py
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from earlyphase.results.claims.judging import FINDING, INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from earlyphase.results.comparison import agreement, by_claim
from earlyphase.results.deficits import RUN
from earlyphase.results.pretraining import FIRST, chains, is_control
from earlyphase.results.stability import ticket_round
from earlyphase.results.summaries import last_evaluations, nearest_round, t_interval

DOCS = Path(__file__).resolve().parent
PAGES = {"results.md": "results/default/seeds-0-to-14", "cifar10.md": "results/cifar10/25-epochs"}
JUDGED = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)


@cache
def read(path):
    """A table of text and numbers."""
    return pd.read_csv(path, keep_default_na=not path.name.startswith("claims"))


def runs_of(folder, name, run):
    """The result of each run of a table, `accuracy` in points."""
    last = last_evaluations(read(folder / f"{name}.csv"), [*run, "seed"])
    return last.assign(accuracy=100 * last["accuracy"])


def by_seed(runs, **values):
    """Accuracy by seed of the runs that have these values."""
    for column, value in values.items():
        runs = runs[runs[column] == value]
    return runs.set_index("seed")["accuracy"]


def signed(value, digits=1):
    """A number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def mean(values, digits=1):
    """Mean ± sample standard deviation, and over how many seeds where some diverged."""
    n = "" if values.notna().all() else f" (n = {values.count()})"
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}{n}" if values.count() else ""


def change(values, reference):
    """A difference within seeds, with its interval."""
    found = (values - reference).dropna()
    if found.empty:
        return ""
    low, high = t_interval(found)
    return f"{signed(found.mean())} ({signed(low)} to {signed(high)})"


def share(value):
    """A fraction of the weights as the pages have it."""
    return f"{100 * value:.1f} %"


def table(header, lines):
    """A table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def rewinding(folder):
    """Figure 1: accuracy by density and k."""
    dense, runs = by_seed(runs_of(folder, "dense", [])), runs_of(folder, "imp", ["k", "round"])
    ks = sorted(runs["k"].unique())
    late = f"k = {ks[-1]:,}"
    header = ["weights remaining", *(f"k = {k:,}" for k in ks), f"{late} minus dense", f"{late} minus k = 0"]
    lines = [["100 % (dense)", mean(dense), *[""] * (len(ks) + 1)]]
    for _, own in runs.groupby("round"):
        accuracy = [by_seed(own, k=k) for k in ks]
        differences = [change(accuracy[-1], dense), change(accuracy[-1], accuracy[0])]
        lines.append([share(own["density"].mean()), *map(mean, accuracy), *differences])
    return table(header, lines)


def branches(folder, *, controls, reference):
    """Changed tickets at the sparsest round: the controls, which were run of k = 0 too, or the others."""
    runs = runs_of(folder, "perturbed", ["k", "round", "perturbation"])
    tickets = runs_of(folder, "imp", ["k", "round"])
    runs = runs[runs["perturbation"].isin(runs.loc[runs["k"] == 0, "perturbation"]) == controls]
    ks, last = sorted(runs["k"].unique()), runs["round"].max()
    own = [by_seed(tickets, k=k, round=last) for k in ks]
    found = {reference: own} | (
        {} if controls else {"tickets of k = 0": [by_seed(tickets, k=0, round=last)] * len(ks)}
    )
    for name in runs["perturbation"].unique():
        found[f"`{name}`"] = [by_seed(runs, perturbation=name, k=k, round=last) for k in ks]
    header = ["at " + share(tickets.loc[tickets["round"] == last, "density"].mean())]
    header += [words for k in ks for words in (f"k = {k:,}", f"minus {reference}")]
    lines = []
    for name, values in found.items():
        pairs = zip(values, own, strict=True)
        cells = [(mean(one), "" if name == reference else change(one, ticket)) for one, ticket in pairs]
        lines.append([name, *(cell for both in cells for cell in both)])
    return table(header, lines)


def perturbed(folder):
    """Perturbed tickets of every k but 0, without the controls."""
    return branches(folder, controls=False, reference="rewinding to k")


def controls(folder):
    """Controls of tickets."""
    return branches(folder, controls=True, reference="the ticket")


def pretraining(folder):
    """Networks that learned something else first, at the last round that all have."""
    runs = chains({name: read(folder / f"{name}.csv") for name in ("pretrained_dense", "pretrained_imp")})
    runs = runs.assign(accuracy=100 * runs["accuracy"])
    tickets = runs_of(folder, "imp", ["k", "round"])
    last = min(runs.groupby(FIRST)["round"].max())
    runs, tickets = runs[runs["round"] == last], tickets[tickets["round"] == last]
    late = tickets["k"].max()
    own = runs[is_control(runs)]
    header = ["first learned", "iterations", f"accuracy at {share(tickets['density'].mean())}"]
    header += [f"minus rewinding to k = {late:,}", "minus rewinding to 0", "minus its own task for as long"]
    lines = []
    for (name, iterations), chain in runs.groupby(FIRST, sort=False):
        found = by_seed(chain)
        differences = [change(found, by_seed(tickets, k=k)) for k in (late, 0)]
        control = by_seed(own, pretraining_iterations=iterations)
        as_long = "" if is_control(chain).all() else change(found, control)
        lines.append([f"`{name}`", f"{iterations:,}", mean(found), *differences, as_long])
    return table(header, lines)


def deficits(folder):
    """Deficits, each beside the training that has none and is as long, under the same schedule."""
    runs = runs_of(folder, "deficits", [name for name in RUN if name != "seed"])
    own = runs[runs["deficit"] == runs["task"]]
    header = ["deficit", "in iterations", "schedule", "iterations in all", "accuracy", "minus none"]
    lines = []
    for (regime, name, first, end, stop), group in runs[runs["deficit"] != runs["task"]].groupby(RUN[:-1]):
        matched = own[(own["regime"] == regime) & (own["stop"] == stop)]
        window = matched[(matched["first"] == first) & (matched["end"] == end)]
        control = window if len(window) else matched[matched["end"] == 0]
        found = by_seed(group)
        place = [f"`{name}`", f"{first:,} to {end:,}", f"`{regime}`", f"{stop:,}"]
        lines.append([*place, mean(found), change(found, by_seed(control))])
    return table(header, lines)


def stability(folder):
    """Rise of the error on the line between two copies that part at k, in points."""
    pairs = read(folder / "stability.csv")
    pairs = pairs.assign(accuracy=100 * pairs["instability"])
    rounds = [0, *filter(None, [ticket_round(pairs, 0.168)])]
    densities = [
        "dense",
        *(share(pairs.loc[pairs["round"] == last, "density"].mean()) for last in rounds[1:]),
    ]
    lines = [
        [f"{k:,}", *(mean(by_seed(pairs, k=k, round=last)) for last in rounds)]
        for k in sorted(pairs["k"].unique())
    ]
    return table(["k", *densities], lines)


def rows_of(claims):
    """Claims with their verdicts, without those that repeat another's test and without our own finding."""
    return claims[(claims["same_test_as"] == "") & (claims["id"] != FINDING)]


def verdicts(folder):
    """How many claims have each verdict, and which."""
    rows = rows_of(read(folder / "claims.csv"))
    order = [*JUDGED, *sorted(set(rows["verdict"]) - set(JUDGED))]
    lines = []
    for verdict in order:
        own = rows[rows["verdict"] == verdict]
        which = [f"{one.id} ({one.reading})" if one.reading else one.id for one in own.itertuples()]
        lines.append([verdict, len(own), ", ".join(which)])
    return table(["verdict", "rows", "claims"], lines)


def claims(folder):
    """What was measured of each claim that was judged."""
    rows = rows_of(read(folder / "claims.csv"))
    lines = []
    for verdict in JUDGED:
        for one in rows[rows["verdict"] == verdict].itertuples():
            reading = f" ({one.reading})" if one.reading else ""
            cells = [one.id + reading, verdict, one.statement, one.measured, one.ours, one.interval, one.n]
            lines.append(
                [re.sub(r"(?<!\w)-(?=\d)", "−", re.sub(r"(\d)%", r"\1 %", str(cell))) for cell in cells]
            )
    return table(["claim", "verdict", "statement", "what was measured", "found", "95 % interval", "n"], lines)


def disjoint_seeds(folder):
    """How alike studies of disjoint seeds judge."""
    judged = {path.stem: read(path) for path in sorted(folder.glob("claims-*.csv"))}
    shares = agreement(judged)
    undecided = []
    for one in judged.values():
        found = [verdict for verdict in by_claim(one).values() if verdict in JUDGED]
        undecided.append(f"{100 * found.count(INCONCLUSIVE) / len(found):.0f} %")
    header = [
        "sets of seeds",
        "claims that one or more decide",
        "alike in all",
        "opposite",
        "inconclusive in each",
    ]
    names = ", ".join(name.removeprefix("claims-").replace("-", " ") for name in judged)
    alike, opposite = (f"{100 * shares[name]:.0f} %" for name in ("same", "opposite"))
    return table(header, [[names, shares["decided"], alike, opposite, ", ".join(undecided)]])


def convergence(folder):
    """What rewinding gains in the same network trained for longer."""
    runs = read(folder.parent / "longer-trainings.csv")
    runs = runs.assign(accuracy=100 * runs["accuracy"])
    tickets = runs[runs["table"] == "imp"]
    late, rounds = tickets["k"].max(), [nearest_round(tickets, density)[0] for density in (0.168, 0.093)]
    of_round = tickets.groupby("round")["density"].mean()
    header = [
        "iterations",
        "dense",
        *(f"k = {late:,.0f} minus k = 0 at {share(of_round[one])}" for one in rounds),
    ]
    lines = []
    for _, own in runs.groupby("iteration"):
        gains = [change(*(by_seed(own, table="imp", k=k, round=one) for k in (late, 0))) for one in rounds]
        lines.append([f"{own['iteration'].iloc[0]:,}", mean(by_seed(own, table="dense")), *gains])
    return table(header, lines)


TABLES = {
    made.__name__: made
    for made in (
        rewinding, perturbed, controls, pretraining, deficits, stability, verdicts, claims, disjoint_seeds,
        convergence,
    )
}  # fmt: skip


def filled(text, folder):
    """A page with its tables made anew."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{TABLES[found[2]](folder)}\n\n{found[3]}",
        text,
        flags=re.S,
    )


def page(name):
    """One page, with its tables made anew."""
    return filled((DOCS / name).read_text(), DOCS / PAGES[name])


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(page(name))
