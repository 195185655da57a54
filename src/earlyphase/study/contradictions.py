"""What a configuration asks for and cannot have: every unknown name and impossible time, a sentence each.

What a single value may be, the schema and the signatures of functions say. Here values are held against one
another, so that one reading of the messages is enough to mend a configuration.
"""

from collections.abc import Iterator

from earlyphase.study.configuration import entries_of, labelled, shown_by, unknown
from earlyphase.study.deficits import BASE, PROTOCOLS, TIMED, deficits_named, windows_of
from earlyphase.study.pretraining import Pretraining, named_by, pretraining_of
from earlyphase.study.run import CRITERION, Run
from earlyphase.study.signatures import registered, stated


def of_names(config: dict) -> Iterator[str]:
    """A run that stands there twice, and no criterion by which tickets are found."""
    pairs = [(run["dataset"], run["model"]) for run in config["runs"]]
    if len(set(pairs)) < len(pairs):
        yield "runs names the same network on the same data set twice"
    if CRITERION not in config["criteria"]:
        yield f"criteria lacks {CRITERION}, by which tickets are found"
    elif config["criteria"][CRITERION].get("retraining", "weight_rewinding") != "weight_rewinding":
        yield f"criteria.{CRITERION}.retraining must be weight_rewinding; other ways need own entries"


def of_run(run: Run, config: dict) -> Iterator[str]:
    """All that a run cannot have."""
    yield from of_training(run)
    yield from of_images(run, config)
    yield from of_critical_periods(run, config)
    yield from of_pretraining(run, config)


def of_training(run: Run) -> Iterator[str]:
    """Milestones and rewind iterations past the end, and chains by the criterion by which all prune."""
    end = run.iterations
    yield from of_milestones(f"training of {run}", run.training["milestones"], end)
    for k in run.rewind_iterations:
        if k >= end:
            yield f"rewind_iterations has {k}, but {run} trains for {end} iterations; k must be smaller"
    for index, entry in enumerate(run.pruned_by):
        if CRITERION in entry["criteria"]:
            yield f"pruned_by.{index}.criteria has {CRITERION!r}, by which every run prunes; name others only"


def of_milestones(where: str, milestones: list[int], end: int) -> Iterator[str]:
    """Milestones that fall, or lie past the end."""
    if milestones != sorted(set(milestones)):
        yield f"{where}: milestones are {milestones}, but must increase"
    elif milestones and milestones[-1] >= end:
        yield f"{where}: milestone {milestones[-1]} is not before the end at iteration {end}"


def of_images(run: Run, config: dict) -> Iterator[str]:
    """A network or a task that images of this size do not fit, and more images held out than there are."""
    yield from of_size(run, config)
    yield from of_validation(run, config)
    entries = [*run.pretrained, *run.sparse_pretraining]
    first = [config["pretraining"][name]["task"] for entry in entries for name in entry["pretraining"]]
    for name in dict.fromkeys([run.task, *deficits_named(run), *first]):
        yield from of_task(config, run.dataset, name)


def size_of_images(entry: dict) -> tuple[int, int] | None:
    """Height and width in pixels of the images of a configured data set; None where these are not known."""
    known = stated("datasets", entry)
    height, width = (known.get(side, known.get("size")) for side in ("height", "width"))
    return None if height is None or width is None else (height, width)


def of_task(config: dict, dataset: str, task: str) -> Iterator[str]:
    """Images, where their size is known, on which a task cannot work."""
    if (known := size_of_images(config["datasets"][dataset])) is None:
        return
    height, width = known
    where = f"task {task} on {dataset}"
    for part in entries_of(config["tasks"][task]):
        function = registered("tasks")[part["function"]]
        if function.facts.get("square") and height != width:
            yield f"{where}: {part['function']} needs square images, but they are {height}x{width} pixels"
        argument = function.facts.get("least_size")
        if argument and min(height, width) < (least := (function.defaults | part)[argument]):
            yield (
                f"{where}: {argument} of {part['function']} is {least}, but the images are {height}x{width} "
                f"pixels; it must not be above {min(height, width)}"
            )


def of_size(run: Run, config: dict) -> Iterator[str]:
    """A network that is made for images of another size than the data set has."""
    entry = config["models"][run.model]
    network = registered("models")[entry["function"]]
    argument, known = network.facts.get("fits"), size_of_images(config["datasets"][run.dataset])
    if argument is None or known is None:
        return
    (height, width), size = known, (network.defaults | entry)[argument]
    if not height == width == size:
        right = f"{height} is right" if height == width else f"{entry['function']} needs square ones"
        yield (
            f"models.{run.model}.{argument} is {size}, but the images of {run.dataset} are {height}x{width} "
            f"pixels; {right}"
        )


def of_validation(run: Run, config: dict) -> Iterator[str]:
    """So many images held out that too few are left, where it is known how many there are."""
    held_out = run.training["validation"]
    there = stated("datasets", config["datasets"][run.dataset]).get("train")
    if held_out and there is not None and there - held_out < run.training["batch_size"]:
        yield (
            f"training of {run}: validation is {held_out}, but there are {there} training images and a "
            f"mini-batch takes {run.training['batch_size']}; it must not be above "
            f"{max(there - run.training['batch_size'], 0)}"
        )


def of_critical_periods(run: Run, config: dict) -> Iterator[str]:
    """Deficits and regimes that cannot be what they are named for, and windows that are empty."""
    for index, entry in enumerate(run.critical_periods):
        where = f"critical_periods.{index}"
        yield from of_protocol(where, entry)
        for name in entry.get("deficits", []):
            for part in entries_of(config["tasks"][name]):
                if classes := registered("tasks")[part["function"]].facts.get("classes"):
                    yield (
                        f"{where}.deficits has {name!r}, whose {classes} classes are its own; "
                        "a deficit keeps the classes of the data set"
                    )
        yield from of_windows(where, entry, run)
        for name in entry["regimes"]:
            yield from of_regime(where, name, config["regimes"].get(name, {}), run, held="held" in entry)


def of_protocol(where: str, entry: dict) -> Iterator[str]:
    """An entry that is not exactly one of the protocols."""
    protocols = [name for name in PROTOCOLS if name in entry]
    if len(protocols) != 1:
        yield f"{where} has {' and '.join(protocols) or 'none'} of removed_at, onsets and held; one is right"
        return
    (protocol,) = protocols
    needed = PROTOCOLS[protocol]
    for key in sorted(needed - entry.keys()):
        yield f"{where} lacks {key}, which {protocol} needs"
    for key in sorted(entry.keys() - needed - {protocol, "regimes"}):
        yield f"{where} has {key}, which {protocol} does not use"


def of_windows(where: str, entry: dict, run: Run) -> Iterator[str]:
    """Windows that are empty."""
    for key, windows in windows_of(run, entry).items():
        for window, first, last in windows:
            if first >= last:
                yield (
                    f"{where}.{key} has {window}, a window of the iterations {first} to {last}; "
                    "a window must begin before it ends"
                )


def of_regime(where: str, name: str, regime: dict, run: Run, *, held: bool) -> Iterator[str]:
    """A regime that cannot be that of a run, or cannot hold in a window."""
    others = ", ".join(sorted(key for key in regime if key not in TIMED or regime[key] == "restarted"))
    if held and (name == BASE or others):
        yield (
            f"{where}.regimes has {name!r}, which changes {others or 'nothing'}; what is held in a window "
            f"must change only {', '.join(sorted(TIMED))}"
        )
    milestones = run.changes(regime, run.iterations).get("milestones", [])
    yield from of_milestones(f"regimes.{name} of {run}", milestones, run.iterations)


def of_pretraining(run: Run, config: dict) -> Iterator[str]:
    """Beginnings of a run that are impossible."""
    for section in ("pretrained", "sparse_pretraining"):
        for index, entry in enumerate(run.settings[section]):
            for name, iterations in named_by(entry):
                first = pretraining_of(config, name, iterations)
                yield from of_share(f"{section}.{index}", first, run)
                if iterations < 1:
                    yield f"{section}.{index}.iterations has {iterations}, once rounded; 1 is the least"
                if first.start >= run.iterations:
                    yield (
                        f"{section}.{index}.iterations has {iterations}, but the clock of {name} goes on "
                        f"from there, and {run} ends at iteration {run.iterations}; fewer or "
                        "`clock: restarted` is right"
                    )
                milestones = run.changes(first.training, iterations).get("milestones", [])
                yield from of_milestones(f"pretraining.{name} of {run}", milestones, iterations)


def of_share(where: str, first: Pretraining, run: Run) -> Iterator[str]:
    """A share of the images that cannot be shown first."""
    if first.images and not where.startswith("pretrained"):
        yield f"{where} has {first.name}, which shows a share of the images: only `pretrained` can"
    if first.images.get("chosen", "random") != "random":
        chosen = f"pretraining.{first.name}.images are chosen by `scores`"
        if not run.scores["iterations"]:
            yield f"{chosen}, but scores.iterations is empty; a time early in training is right"
        if run.training["validation"]:
            yield f"{chosen}, which do not know the images that each seed holds out; validation must be 0"


def of_figures(run: Run, config: dict) -> Iterator[str]:
    """Figures that show a perturbation, a pretraining or a criterion that is not configured."""
    for figure, entry in run.figures.items():
        shown = {
            "perturbations": shown_by(entry) | labelled(entry, "tickets"),
            "pretraining": labelled(entry, "panels"),
            "criteria": labelled(entry, "chains"),
        }
        for section, names in shown.items():
            for name in sorted(names):
                for problem in unknown(name, f"under {section}", config[section]):
                    yield f"figures.{figure} shows {problem}"
