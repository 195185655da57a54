"""Claims on lottery tickets, R6 and R7: Frankle & Carbin 2019, section 8.1 of what they are held to here.

Where their networks are small, those of this project find no ticket at k = 0 unless the learning rate is low;
so each claim is judged in two readings, of tickets rewound to 0 and of tickets rewound late.
"""

from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS, Contrast
from earlyphase.results.claims.judging import MARGIN, Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import by_rewind_iteration, dense_accuracy, final_results, rewound_to
from earlyphase.results.claims.rewinding import LATE, below_10_percent, latest

# Perturbations by their names in config.yaml.
ONE_SHOT, REINITIALISED = "one_shot", "reinitialised"
AT_0, RATHER_LATE = READINGS = ("rewound to 0", "rewound late")
TOLERANCE = 0.5  # points that a ticket may lose and be unharmed, in the paper's network


def k_of(accuracy: DataFrame, reading: str) -> int:
    """The k of a reading: 0, or the largest of `accuracy`, (seeds, ks)."""
    return 0 if reading == AT_0 else latest(accuracy)


def unharmed(tables: Tables, *, reading: str) -> DataFrame:
    """Accuracy of the ticket over the dense network's in the first round below 10 % of weights."""
    accuracy = below_10_percent(tables)
    k = k_of(accuracy, reading)
    gained = rewound_to(accuracy, k) - dense_accuracy(tables)
    return DataFrame({f"k = {k:,} minus dense, below 10 % of weights": gained})


def nearly_unharmed(tables: Tables, *, reading: str) -> list[Contrast]:
    """The same and the share `MARGIN` of what rewinding there gains over rewinding to 0, within each seed.

    Above 0 where the ticket loses less than that share.
    """
    accuracy = below_10_percent(tables)
    gain = rewound_to(accuracy, latest(accuracy)) - rewound_to(accuracy, 0)
    ((label, gained),) = unharmed(tables, reading=reading).items()
    return [Contrast((gained + MARGIN * gain).rename(f"{label}, plus {MARGIN} of rewinding's gain"), gain)]


def ticket_minus(tables: Tables, name: str, reading: str) -> DataFrame:
    """Accuracy gained by the ticket over the control `name`, at the sparsest density that was run of it.

    Where the reading is late, at the largest k of it.
    """
    chains = final_results(tables, "imp", ["seed", "k", "round"])
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    runs = runs[(runs["perturbation"] == name) & ((runs["k"] == 0) == (reading == AT_0))]
    if runs.empty:
        raise NotRun(f"{name} was not run for {'k = 0' if reading == AT_0 else 'any k above 0'}")
    k = runs["k"].max()
    runs = runs[runs["k"] == k]
    runs = runs[runs["round"] == runs["round"].max()]
    control: Series = POINTS * runs.set_index("seed")["accuracy"]
    ticket = rewound_to(by_rewind_iteration(chains, runs["round"].iloc[0]), k)
    place = f"k = {k:,} at {runs['density'].mean():.1%}"
    return DataFrame({f"{place}: iterative minus {name}": ticket - control})


def over_one_shot(tables: Tables, *, reading: str) -> DataFrame:
    """Accuracy gained by pruning iteratively in place of at once."""
    return ticket_minus(tables, ONE_SHOT, reading)


def over_fresh_weights(tables: Tables, *, reading: str) -> DataFrame:
    """Accuracy gained by the weights of k over fresh ones, under the same mask."""
    return ticket_minus(tables, REINITIALISED, reading)


ITERATIVE_WINS = Criterion(
    over_one_shot,
    (0, INFINITY),
    "and iterative pruning beats one-shot at the sparsest density at which that was run: the paired gain is "
    "positive",
)
TICKET_WINS = Criterion(
    over_fresh_weights,
    (0, INFINITY),
    "at the sparsest density at which fresh weights were run: the paired gain of the ticket is positive",
)

TICKETS = (
    Claim(
        "R6",
        "A network can lose over 90 % of its weights unharmed; pruned at once it does worse than in rounds",
        "over 90 % fewer parameters, no loss (Frankle & Carbin); one-shot below iterative (recollected)",
        ("imp", "dense", "perturbed"),
        Criterion(
            unharmed,
            (-TOLERANCE, INFINITY),
            f"first round below 10 % of weights: the ticket loses less than {TOLERANCE} points against the "
            "dense network",
            also=ITERATIVE_WINS,
        ),
        Criterion(
            nearly_unharmed,
            (0, INFINITY),
            "short study: in the first round below 10 % of weights the ticket loses less against the dense "
            f"network than {100 * MARGIN:.0f} % of what rewinding gains over rewinding to 0; {LATE}",
            also=ITERATIVE_WINS,
        ),
        readings=READINGS,
    ),
    Claim(
        "R7",
        "The same mask with fresh weights trains worse than the ticket",
        "worse, the more so the sparser (recollected)",
        ("imp", "perturbed"),
        TICKET_WINS,
        TICKET_WINS,
        readings=READINGS,
    ),
)
