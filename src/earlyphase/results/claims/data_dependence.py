"""Claims on what the early phase needs from the data, D1 to D9: the paper's Figures 9 and 10."""

from functools import partial

from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS, Contrast
from earlyphase.results.claims.judging import MARGIN, SIGN, Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import by_rewind_iteration, final_results, rewound_to, round_like
from earlyphase.results.claims.perturbations import AT_ROUND_6, READINGS, REWIND_TO_0, SHARE
from earlyphase.results.claims.rewinding import LATE, latest
from earlyphase.results.pretraining import FIRST

# Pretrainings and perturbations by their names in config.yaml.
RANDOM_LABELS, ROTATION, BLUR, BLUR_ROTATION = "random_labels", "rotation", "blur", "blur_rotation"
FROM_K = ("rewind", "reinitialised", "random_mask")  # tickets of Figure 10 that start with the state of k
FROM_0 = (REWIND_TO_0, "reinitialised_from_0", "random_mask_from_0")
EPOCH = 391  # iterations, in the paper's data and batch
TEN_EPOCHS, FORTY_EPOCHS = 10 * EPOCH, 40 * EPOCH
SLOWER = 10  # times k, that pretraining without labels needs at least

Durations = tuple[float, float] | None  # least and greatest, in iterations; None: the longest alone

# At one density: where `late` is a k of the paper, near 26.2 % of weights, its round 6. Where it is None, so
# that the largest k plays its role, the sparsest round that all have: how many weights can be spared differs.


def round_of(runs: DataFrame, by: list[str], late: int | None) -> int:
    """The round at which `runs` are compared; `by` names the columns that tell apart what is compared."""
    if late is not None:
        return round_like(runs, 6)
    if runs.empty:
        raise NotRun("no such network was pruned")
    if not (shared := set.intersection(*(set(own["round"]) for _, own in runs.groupby(by)))):
        raise NotRun("there is no round that all were pruned to")
    return max(shared)


# Measures of networks that were pretrained while dense


def by_duration(
    tables: Tables, name: str, durations: Durations, late: int | None, imp_round: int | None = None
) -> tuple[DataFrame, int]:
    """Accuracy in points of tickets after the pretraining `name`, (seeds, durations); and their round.

    Args:
        imp_round: one to look at; None for that of `round_of`.
    """
    runs = final_results(tables, "pretrained_imp", [*FIRST, "round", "seed"])
    imp_round = imp_round or round_of(runs, FIRST, late)
    runs = runs[runs["pretraining"] == name]
    if runs.empty:
        raise NotRun(f"no network was pretrained on {name}")
    at_round = runs[runs["round"] == imp_round]
    if at_round.empty:
        raise NotRun(f"no network that was pretrained on {name} was pruned to round {imp_round}")
    accuracy = POINTS * at_round.pivot(index="seed", columns="pretraining_iterations", values="accuracy")
    low, high = durations or (accuracy.columns.max(), INFINITY)
    chosen = accuracy[[duration for duration in accuracy if low <= duration <= high]]
    if chosen.empty:
        raise NotRun(f"{name} was run for {', '.join(f'{length:,}' for length in accuracy)} iterations only")
    chosen.attrs["place"] = f"at {at_round['density'].mean():.1%}"
    return chosen, imp_round


def unpretrained(tables: Tables, imp_round: int, late: int | None) -> tuple[Series, Series, int]:
    """Accuracy by seed in points of tickets that rewind to 0 and to k, and k: `late`, or the largest."""
    accuracy = by_rewind_iteration(final_results(tables, "imp", ["seed", "k", "round"]), imp_round)
    k = latest(accuracy) if late is None else late
    return rewound_to(accuracy, 0), rewound_to(accuracy, k), k


def over_rewinding_to_0(
    tables: Tables, *, name: str, durations: Durations, late: int | None, kept: float | None = None
) -> list[Contrast]:
    """Accuracy gained by the pretraining `name` over rewinding to 0, for each of its lengths.

    Args:
        kept: share of what rewinding to k gains; so much is subtracted, within seeds, so that the contrast is
            above 0 if pretraining gains more. None subtracts nothing.

    Returns:
        Contrasts that have no test where rewinding itself surely gains nothing.
    """
    accuracy, imp_round = by_duration(tables, name, durations, late)
    baseline, rewound, k = unpretrained(tables, imp_round, late)
    gain, found = rewound - baseline, []
    for duration in accuracy:
        place, difference = accuracy.attrs["place"], accuracy[duration] - baseline
        label = f"{name} for {duration:,} {place} minus rewinding to 0"
        if kept is not None:
            label += f" minus {kept} of what rewinding to {k:,} gains"
            difference = difference - kept * gain
        found.append(Contrast(difference.rename(label), gain))
    return found


def over_rewinding_to_k(tables: Tables, *, name: str, durations: Durations, late: int) -> DataFrame:
    """Accuracy gained by the pretraining `name` over rewinding to k = `late`, for each of its lengths."""
    accuracy, imp_round = by_duration(tables, name, durations, late)
    _, rewound, _ = unpretrained(tables, imp_round, late)
    return DataFrame(
        {f"{name} for {each:,} minus rewinding to {late:,}": accuracy[each] - rewound for each in accuracy}
    )


def too_short(tables: Tables, *, name: str) -> list[Contrast]:
    """What pretrainings shorter than `SLOWER` times the largest k gain, less what counts as all of it.

    Raises `NotRun` where none was shorter, or none as long: then nothing shows that pretraining is slow.
    """
    accuracy, imp_round = by_duration(tables, name, (0, INFINITY), None)
    limit = SLOWER * unpretrained(tables, imp_round, None)[2]
    shorter = [duration for duration in accuracy if duration < limit]
    if not shorter or max(accuracy) < limit:
        raise NotRun(
            f"pretraining must be run for less and for more than {SLOWER} times k, {limit:,} iterations"
        )
    return over_rewinding_to_0(tables, name=name, durations=(0, limit - 1), late=None, kept=1 - MARGIN)


# Measures of tickets that were pretrained when they were sparse


def sparse_runs(tables: Tables, late: int | None) -> tuple[DataFrame, int]:
    """Accuracy in points of tickets after the longest pretraining on rotation, (seeds, tickets); their k.

    The frame's `attrs` have the `round` and the `duration`.
    """
    runs = final_results(tables, "pretrained_tickets", [*FIRST, "k", "round", "perturbation", "seed"])
    runs = runs[runs["pretraining"] == ROTATION]
    if runs.empty:
        raise NotRun("no ticket was pretrained on rotation")
    k = runs["k"].max() if late is None else late
    if k not in set(runs["k"]):
        raise NotRun(f"no ticket of k = {k:,} was pretrained")
    duration = runs["pretraining_iterations"].max()
    runs = runs[(runs["pretraining_iterations"] == duration) & (runs["k"] == k)]
    imp_round = round_of(runs, ["perturbation"], late)
    accuracy = POINTS * runs[runs["round"] == imp_round].pivot(
        index="seed", columns="perturbation", values="accuracy"
    )
    accuracy.attrs |= {"round": imp_round, "duration": duration}
    return accuracy, k


def of_ticket(accuracy: DataFrame, name: str) -> Series:
    """The column of `accuracy` of one ticket."""
    if name not in accuracy:
        raise NotRun(f"the ticket {name} was not pretrained")
    return accuracy[name]


def rewound_to_0(tables: Tables, imp_round: int, k: int, reading: str) -> Series:
    """Accuracy by seed in points of rewinding to 0: tickets of k = 0, or 0 under the masks of k."""
    if reading != "masks of k":
        return unpretrained(tables, imp_round, k)[0]
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    chosen = (runs["perturbation"] == REWIND_TO_0) & (runs["k"] == k) & (runs["round"] == imp_round)
    if not chosen.any():
        raise NotRun(f"{REWIND_TO_0} was not run for k = {k:,} at this density")
    return POINTS * runs[chosen].set_index("seed")["accuracy"]


def sparse_over_rewinding_to_0(
    tables: Tables, *, reading: str, late: int | None, kept: float | None = None
) -> list[Contrast]:
    """Accuracy gained over rewinding to 0 by each ticket of Figure 10 that was pretrained.

    Args:
        kept: as in `over_rewinding_to_0`.
    """
    accuracy, k = sparse_runs(tables, late)
    baseline = rewound_to_0(tables, accuracy.attrs["round"], k, reading)
    gain, found = unpretrained(tables, accuracy.attrs["round"], k)[1] - baseline, []
    for name in (*FROM_K, *FROM_0):
        label, difference = f"{name} minus rewinding to 0 ({reading})", of_ticket(accuracy, name) - baseline
        if kept is not None:
            label += f" minus {kept} of what rewinding to {k:,} gains"
            difference = difference - kept * gain
        found.append(Contrast(difference.rename(label), gain))
    return found


def sparse_over_rewinding_to_k(tables: Tables, *, late: int | None) -> DataFrame:
    """Accuracy gained by pretraining the ticket of k over training it as it is."""
    accuracy, k = sparse_runs(tables, late)
    _, rewound, _ = unpretrained(tables, accuracy.attrs["round"], k)
    return DataFrame(
        {f"pretrained ticket of k = {k:,} minus the ticket": of_ticket(accuracy, FROM_K[0]) - rewound}
    )


def dense_over_sparse(tables: Tables, *, late: int | None) -> DataFrame:
    """Accuracy gained by pretraining before the mask is found over pretraining under a mask found without.

    Both start from iteration 0, are pretrained on rotation for as long, and have as many weights.
    """
    accuracy, k = sparse_runs(tables, late)
    duration, imp_round = accuracy.attrs["duration"], accuracy.attrs["round"]
    dense, _ = by_duration(tables, ROTATION, (duration, duration), late, imp_round)
    label = f"pretrained for {duration:,} while dense, minus under the mask of k = {k:,}"
    return DataFrame({label: dense[duration] - of_ticket(accuracy, REWIND_TO_0)})


def needs_vgg(tables: Tables) -> DataFrame:
    """Raise `NotRun`: the claim is on a network that this package does not have."""
    raise NotRun("it is a claim on VGG-13, which is not among the networks")


# The claims

LONGEST = "the longest pretraining stands for the paper's 40 epochs"
AT_SPARSEST = "at the sparsest density that all such networks have"
LESS = f"less than {SHARE} is gained; {LATE}"


def as_good_as_k(name: str, *, short: bool) -> Criterion:
    """As good as rewinding to k: less than 0.7 points below; in a short study less than `MARGIN` is lost."""
    if short:
        return Criterion(
            partial(over_rewinding_to_0, name=name, durations=None, late=None, kept=1 - MARGIN),
            (0, INFINITY),
            f"short study: non-inferiority {AT_SPARSEST}, less than {SHARE} is lost; {LONGEST}; {LATE}",
        )
    return Criterion(
        partial(over_rewinding_to_k, name=name, durations=(FORTY_EPOCHS, FORTY_EPOCHS), late=500),
        (-0.7, INFINITY),
        f"{AT_ROUND_6}: non-inferiority after 40 epochs, less than 0.7 points below k = 500",
    )


def no_better(name: str, besides: str = "") -> Criterion:
    """No better than rewinding to 0 in a short study: less than `MARGIN` of its gain, at any length."""
    return Criterion(
        partial(over_rewinding_to_0, name=name, durations=(0, INFINITY), late=None, kept=MARGIN),
        (-INFINITY, 0),
        f"short study: non-superiority {AT_SPARSEST} for every length of pretraining, {LESS}{besides}",
    )


def as_rewinding_to_0(name: str, most: float, also: Criterion | None = None) -> Criterion:
    """Equivalent to rewinding to 0, within 0.5 points, for all lengths up to `most`."""
    up_to = f"up to {most:,} iterations" if most < INFINITY else "of pretraining"
    return Criterion(
        partial(over_rewinding_to_0, name=name, durations=(0, most), late=500),
        (-0.5, 0.5),
        f"{AT_ROUND_6}: equivalence (TOST), all lengths {up_to} lie within ±0.5 points of rewinding to 0",
        also,
    )


DATA_DEPENDENCE = (
    Claim(
        "D1",
        "Pretraining on random labels for up to 10 epochs is no better than rewinding to 0; longer, it hurts",
        "as rewinding to 0 up to 10 epochs, worse after 40 (from the paper; numbers recollected)",
        ("pretrained_imp", "imp"),
        as_rewinding_to_0(
            RANDOM_LABELS,
            TEN_EPOCHS,
            Criterion(
                partial(
                    over_rewinding_to_0, name=RANDOM_LABELS, durations=(FORTY_EPOCHS, FORTY_EPOCHS), late=500
                ),
                (-INFINITY, 0),
                f"{AT_ROUND_6}: after 40 epochs the paired contrast with rewinding to 0 is negative",
            ),
        ),
        no_better(RANDOM_LABELS, "; that longer pretraining hurts is not tested"),
    ),
    Claim(
        "D2",
        "Pretraining on rotation gives tickets as good as rewinding to k = 500, if it takes long",
        "as k = 500 after 40 epochs (from the paper; numbers recollected)",
        ("pretrained_imp", "imp"),
        as_good_as_k(ROTATION, short=False),
        as_good_as_k(ROTATION, short=True),
    ),
    Claim(
        "D3",
        "So labels are not needed, but speed up the early phase by an order of magnitude",
        "40 epochs of rotation against 1.25 with labels (from the paper; numbers recollected)",
        ("pretrained_imp", "imp"),
        Criterion(
            partial(over_rewinding_to_k, name=ROTATION, durations=(0, SLOWER * 500 - 1), late=500),
            (-INFINITY, 0),
            f"{AT_ROUND_6}: pretraining shorter than {SLOWER} times k = 500 stays below it, and after "
            "40 epochs it lies less than 0.7 points below",
            as_good_as_k(ROTATION, short=False),
        ),
        Criterion(
            partial(too_short, name=ROTATION),
            (-INFINITY, 0),
            f"short study: {AT_SPARSEST}, pretraining shorter than {SLOWER} times k loses more than {SHARE}, "
            f"and the longest less; {LATE}",
            as_good_as_k(ROTATION, short=True),
        ),
    ),
    Claim(
        "D4",
        "Pretraining on blurred images with their labels works as well",
        "about as k = 500 after 40 epochs (from the paper in kind; numbers recollected)",
        ("pretrained_imp", "imp"),
        as_good_as_k(BLUR, short=False),
        as_good_as_k(BLUR, short=True),
    ),
    Claim(
        "D5",
        "Pretraining on blurred rotation is no better than rewinding to 0, however long",
        "as rewinding to 0 in ResNet-20 (recollected)",
        ("pretrained_imp", "imp"),
        as_rewinding_to_0(BLUR_ROTATION, INFINITY),
        no_better(BLUR_ROTATION),
    ),
    Claim(
        "D6",
        "But in VGG-13 it is better than rewinding to 0",
        "better than rewinding to 0 in VGG-13 (recollected)",
        ("pretrained_imp", "imp"),
        Criterion(needs_vgg, (0, INFINITY), "the paired gain is positive"),
        Criterion(needs_vgg, (0, INFINITY), "short study: the paired gain is positive"),
    ),
    Claim(
        "D7",
        "Pretraining a network that is sparse already is no better than rewinding to 0, whatever its mask",
        "no better than rewinding to 0 after 40 epochs of rotation (from the paper; numbers recollected)",
        ("pretrained_tickets", "imp", "perturbed"),
        Criterion(
            partial(sparse_over_rewinding_to_0, late=500),
            (-INFINITY, 0.5),
            f"{AT_ROUND_6}: non-superiority, the gain of each ticket over rewinding to 0 is below 0.5 points",
        ),
        Criterion(
            partial(sparse_over_rewinding_to_0, late=None, kept=MARGIN),
            (-INFINITY, 0),
            f"short study: non-superiority {AT_SPARSEST} of each ticket, {LESS}; {LONGEST}",
        ),
        readings=READINGS,
    ),
    Claim(
        "D8",
        "And it hurts a ticket that was at k = 500",
        "below the ticket that is not pretrained (recollected)",
        ("pretrained_tickets", "imp"),
        Criterion(
            partial(sparse_over_rewinding_to_k, late=500),
            (-INFINITY, 0),
            f"{AT_ROUND_6}: the paired contrast with the ticket of k = 500 is negative",
        ),
        Criterion(
            partial(sparse_over_rewinding_to_k, late=None),
            (-INFINITY, 0),
            f"{SIGN} {AT_SPARSEST}: the contrast with the ticket of k is negative; {LONGEST}; {LATE}",
        ),
    ),
    Claim(
        "D9",
        "Pretraining stands in for the early phase under a mask found after it, not under one found before",
        "the conclusion from Figures 9 and 10 (from the paper in kind; no number)",
        ("pretrained_tickets", "pretrained_imp"),
        Criterion(
            partial(dense_over_sparse, late=500),
            (0.5, INFINITY),
            f"{AT_ROUND_6}: the paired gain of pretraining while dense exceeds 0.5 points",
        ),
        Criterion(
            partial(dense_over_sparse, late=None),
            (0, INFINITY),
            f"{SIGN} {AT_SPARSEST}: the gain of pretraining while dense is positive; {LONGEST}; {LATE}",
        ),
    ),
)
