"""What the rule of the same name cannot say of a stage: its jobs, what they read of the configuration.

Paths, logs and literal inputs stand in the rules. Wildcards say which experiment, never how:

    {task}       what the dense network was trained on: `supervised`; after pretraining `{name}-{iterations}`
    {deficit}    a task in its place in the iterations {first} to {end} - 1
    {regime}     how a training with a deficit differs; `{name}-{first}-{end}` where it does so in a window
    {criterion}  by which the rounds of a chain prune: `magnitude`, or an entry under `pruned_by`
    {pretraining}, {iterations}  what a network learned first, and for how long
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from earlyphase.study.claims import facts_of
from earlyphase.study.configuration import entries_of, panels_of, shown_by, tickets_of
from earlyphase.study.deficits import deficits_of, training_of
from earlyphase.study.run import CRITERION, Run
from earlyphase.study.study import Study, branches_of, combinations_of, perturbs

Names = dict[str, str]  # wildcards of a job
Block = dict[str, list]  # wildcard -> values; stands for all combinations
Inputs = dict[str, list[str]]  # role -> paths

NUMBERS = ("seed", "k", "round", "first", "end", "stop")  # wildcards whose values are integers
RECORD = "run"  # name of the output that is a run record
PATH_ONLY = ("criterion", "iterations")  # wildcards that are no column of a table by this name


def names_of(run: Run) -> Names:
    """Wildcards that all jobs of a run share."""
    return {"dataset": run.dataset, "model": run.model, "task": run.task, "criterion": CRITERION}


def nothing(study: Study, names: Names) -> range:
    """Train for no iteration."""
    return range(0)


def no_inputs(study: Study, names: Names) -> Inputs:
    """Need nothing but the literal inputs of the rule."""
    return {}


@dataclass(frozen=True)
class Stage:
    """What the rule of the same name cannot say.

    Attributes:
        grid: which jobs a run asks for, in blocks; data set, model and task are those of the run.
        spec: what a job reads of the configuration.
        trains: the iterations that a job trains for, at most: for status, time limits and the command.
        needs: inputs that the rule does not name literally.
        looks_up: sections of the configuration whose functions a job looks up by name; `pretraining` stands
            for the task that is learned first, `claims` for those of plugins.
        tables: name of a table -> the output that it is collected of, over all jobs of a run.
        collects: name of a table -> the jobs that it is collected over, where it is not all of a run.
    """

    grid: Callable[[Study, Run], Iterable[Block]]
    spec: Callable[[Study, Names], dict]
    trains: Callable[[Study, Names], range] = nothing
    needs: Callable[[Study, Names], Inputs] = no_inputs
    looks_up: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    collects: Mapping[str, Callable[[Study, Run], Iterable[Block]]] = field(default_factory=dict)

    def collected(self, study: Study, run: Run, table: str) -> list[Block]:
        """The jobs of a run that a table is collected over."""
        return list(self.collects.get(table, self.grid)(study, run))


# Grids


def once(study: Study, run: Run) -> list[Block]:
    """One job for whatever the wildcards of the rule tell apart."""
    return [{}]


def each_seed(study: Study, run: Run) -> list[Block]:
    """One job for each replicate."""
    return [{"seed": run.seeds}]


def watched_runs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate, if anything is to be sampled."""
    return each_seed(study, run) if run.telemetry["schedule"] else []


def checkpoints(study: Study, run: Run) -> list[Block]:
    """The states that the dense run keeps, and its end."""
    return [{"seed": run.seeds, "k": [*run.kept_iterations, run.iterations]}]


def curvatures(study: Study, run: Run) -> list[Block]:
    """Every time of curvature."""
    return [{"seed": run.seeds, "k": run.curvature_times}]


def fishers(study: Study, run: Run) -> list[Block]:
    """Every time of the Fisher information."""
    return [{"seed": run.seeds, "k": run.fisher_times}]


def pairs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate whose curvature is measured."""
    return each_seed(study, run) if run.curvature_times else []


def rounds(study: Study, run: Run) -> list[Block]:
    """Every round of every chain."""
    return [{"seed": run.seeds, "k": run.rewind_iterations, "round": list(range(1, run.rounds + 1))}]


def rounds_by_criteria(study: Study, run: Run) -> list[Block]:
    """Every round of every chain that prunes by another criterion."""
    return [
        {
            "seed": run.seeds,
            "criterion": entry["criteria"],
            "k": entry.get("rewind_iterations", run.rewind_iterations),
            "round": list(range(1, entry.get("rounds", run.rounds) + 1)),
        }
        for entry in run.pruned_by
    ]


def second_copies(study: Study, run: Run) -> list[Block]:
    """Every second copy: of the dense network, which is round 0, and of tickets."""
    tickets = {"k": run.stability["rewind_iterations"], "round": run.stability["rounds"]}
    return [{"seed": run.seeds, **block} for block in ({"k": run.parting_times, "round": [0]}, tickets)]


def inferences(study: Study, run: Run) -> list[Block]:
    """One job for all tickets of a chain whose inference is measured: they are timed in turns."""
    return [{"seed": run.seeds, "k": run.inference["rewind_iterations"]}] if run.inference["rounds"] else []


def branches(study: Study, run: Run) -> list[Block]:
    """Every perturbed ticket."""
    return [{"seed": run.seeds, **block} for block in branches_of(run.perturbed)]


def pretrainings(study: Study, run: Run) -> list[Block]:
    """One job for each first phase of the dense network and each of its lengths."""
    return [
        {"seed": run.seeds, "pretraining": entry["pretraining"], "iterations": entry["iterations"]}
        for entry in run.pretrained
    ]


def pretrained(study: Study, run: Run) -> list[Block]:
    """The dense networks that were pretrained; their `{task}` says on what and for how long."""
    return [{"seed": run.seeds, "task": [first.label]} for first, _ in study.beginnings(run)]


def dense_runs(study: Study, run: Run) -> list[Block]:
    """The dense network from its initial state, and from each state that was pretrained."""
    return [*each_seed(study, run), *pretrained(study, run)]


def kept_states(study: Study, run: Run) -> list[Block]:
    """The states that all dense runs keep, and their ends."""
    return checkpoints(study, run) + [
        {"seed": run.seeds, "task": [first.label], "k": [first.start, run.iterations]}
        for first, _ in study.beginnings(run)
    ]


def pretrained_rounds(study: Study, run: Run) -> list[Block]:
    """Every round of every chain of a pretrained network, which rewinds to the state that it begins with."""
    return [
        {"seed": run.seeds, "task": [first.label], "k": [first.start], "round": list(range(1, count + 1))}
        for first, count in study.beginnings(run)
    ]


def all_rounds(study: Study, run: Run) -> list[Block]:
    """Every round of every chain, pretrained or not, by whatever criterion."""
    return [*rounds(study, run), *pretrained_rounds(study, run), *rounds_by_criteria(study, run)]


def tickets(study: Study, run: Run) -> list[Block]:
    """Every ticket that is pretrained after it was pruned."""
    return [{"seed": run.seeds, **block} for block in branches_of(run.sparse_pretraining)]


def deficits(study: Study, run: Run) -> list[Block]:
    """Every training with a deficit in a window, or without any."""
    return [{"seed": run.seeds, **block} for block in deficits_of(run, study.config["regimes"])]


def tables(study: Study, run: Run) -> list[Block]:
    """One job for each table that the run fills."""
    return [{"table": tables_of(study, run)}]


def figures(study: Study, run: Run) -> list[Block]:
    """One job for each figure that has something to show."""
    drawn = [name for name, figure in run.figures.items() if nothing_to_show(study, run, figure) is None]
    return [{"figure": drawn}]


# Specs


def columns(names: Names) -> dict[str, str | int]:
    """Columns of a table that name the run."""
    return {
        name: int(value) if name in NUMBERS else value
        for name, value in names.items()
        if name not in PATH_ONLY
    }


def of_data(study: Study, names: Names) -> dict:
    """The entry of the data set, and what its files contain where it is made of any."""
    entry = study.entry("datasets", names)
    arguments = {key: value for key, value in entry.items() if key != "flip"}
    return {"data": arguments} | study.contents(names["dataset"])


def of_training(study: Study, names: Names) -> dict:
    """Network, task and settings of a training, and the columns that name it."""
    network = study.entry("models", names)
    run, first = study.run(names), study.pretraining(names)
    about = columns(names)
    if first is not None:
        about |= {"task": run.task} | first.columns(total_iterations(study, names))
    return {
        "model": {key: value for key, value in network.items() if key != "training"},
        "task": study.entry("tasks", names),
        "training": run.training,
        "columns": about,
    }


def of_dense(study: Study, names: Names) -> dict:
    """A training from the start and, of a network that was pretrained, how its second phase begins."""
    first = study.pretraining(names)
    return of_training(study, names) | ({"second_phase": first.second_phase} if first else {})


def of_pretraining(study: Study, names: Names) -> dict:
    """A training on what is learned first, with the first rate of the schedule throughout.

    Source: OpenLTH, whose pretraining ends before the learning rate first falls.
    """
    first, run = study.first_phase(names), study.run(names)
    about = first.columns(first.iterations)
    return of_training(study, names) | {
        "task": study.entry("pretraining", names),
        "training": run.training | {"iterations": first.iterations, "milestones": []},
        "columns": columns(names | {"task": first.task}) | about,
    }


def of_ticket(study: Study, names: Names) -> dict:
    """The first phase of a ticket, and what is done to it before."""
    branch, dense_end = of_branch(study, names), study.run(names).iterations
    ticket = {name: branch[name] for name in ("perturbation", "round")} | {"dense_end": dense_end}
    return of_pretraining(study, names) | ticket


def of_round(study: Study, names: Names) -> dict:
    """A training, and how a round prunes; the columns name the criterion where it is not that of the run."""
    training, name = of_training(study, names), names["criterion"]
    if name != CRITERION:
        training["columns"] |= {"criterion": name}
    how = {"criterion": study.entry("criteria", names), "prune_fraction": study.run(names).prune_fraction}
    return training | how


def of_branch(study: Study, names: Names) -> dict:
    """A training, what is done to the ticket first, and the iteration at which its clock then stands."""
    entry = study.entry("perturbations", names)
    return of_training(study, names) | {
        "perturbation": entries_of(entry),
        "round": int(names["round"]),
        "start": branch_span(study, names).start,
    }


def of_deficit(study: Study, names: Names) -> dict:
    """A training as its regime has it, and the deficit; the columns say in which window."""
    end, stop = int(names["end"]), int(names["stop"])
    training = training_of(study.run(names), study.config["regimes"], names["regime"], end, stop)
    deficit = study.entry("tasks", {"task": names["deficit"]})
    return of_training(study, names) | {"training": training, "deficit": deficit}


def of_telemetry(study: Study, names: Names) -> dict:
    """A training, when it is looked at, and where the replay ends."""
    return of_training(study, names) | {
        "telemetry": study.run(names).telemetry,
        "stop": study.run(names).watched.stop,
    }


def of_curvature(study: Study, names: Names) -> dict:
    """A training, and how the Hessian is measured."""
    chosen = {key: value for key, value in study.run(names).curvature.items() if key != "iterations"}
    return of_training(study, names) | {"curvature": chosen}


def of_fisher(study: Study, names: Names) -> dict:
    """A training, and on how many images and labels the Fisher information is measured."""
    chosen = {key: value for key, value in study.run(names).fisher.items() if key != "iterations"}
    return of_training(study, names) | {"fisher": chosen}


def of_stability(study: Study, names: Names) -> dict:
    """A training, and how the line between two copies is measured."""
    chosen = study.run(names).stability
    return of_training(study, names) | {"stability": {key: chosen[key] for key in ("points", "sample")}}


def of_inference(study: Study, names: Names) -> dict:
    """A training, and which of its tickets are timed how."""
    chosen = {key: value for key, value in study.run(names).inference.items() if key != "rewind_iterations"}
    return of_training(study, names) | {"inference": chosen}


def of_columns(study: Study, names: Names) -> dict:
    """The columns that name the run, and nothing else."""
    return {"columns": columns(names)}


def of_table(study: Study, names: Names) -> dict:
    """Path of the parts of a table with {wildcards} in it, and blocks of values for these.

    A list of the paths would do the same, but thousands do not fit on a command line.
    """
    rule, output = source_of(names["table"])
    run = study.run(names)
    return parts_of(study, rule, output, run, STAGES[rule].collected(study, run, names["table"]))


def parts_of(study: Study, rule: str, output: str, run: Run, blocks: list[Block]) -> dict:
    """Path of an output of jobs of a run, with {wildcards} in it, and blocks of values for these."""
    free = {name: f"{{{name}}}" for block in blocks for name in block}
    return {"parts": study.rules[rule].outputs[output].format(**names_of(run) | free), "values": blocks}


def of_figure(study: Study, names: Names) -> dict:
    """The entry of the figure."""
    return study.entry("figures", names)


def of_claims(study: Study, names: Names) -> dict:
    """Numbers of claims that it changes, tables, and what claims are told of each network."""
    path = study.rules["collect"].outputs["table"]
    there = {table for run in study.runs for table in tables_of(study, run)}
    sources = {table: path.replace("{table}", table) for table in all_tables() if table in there}
    networks = {f"{run.dataset}/{run.model}": facts_of(study.config, run) for run in study.runs}
    return {"claims": study.claims, "sources": sources, "networks": networks}


def of_report(study: Study, names: Names) -> dict:
    """All that the page says of the configuration, the figures that it shows, and where run records lie.

    How jobs are executed is not among it: it redoes nothing, and run records say what was used. Nothing
    depends on the order of a mapping, which Snakemake changes where it lays one configuration over another.
    """
    shown = [
        {
            **figure,
            "function": entry["function"],
            "shows": sorted(shown_by(entry) | tickets_of(entry) | panels_of(entry)),
        }
        for run in study.runs
        for figure, entry in figures_of(study, run)
    ]
    return {
        "configuration": {key: value for key, value in study.config.items() if key != "execution"},
        "runs": [described(study, run) for run in study.runs],
        "figures": sorted(shown, key=lambda one: (one["dataset"], one["model"], one["figure"])),
        "descriptions": {one["function"]: study.description("figures", one["function"]) for one in shown},
        "left_out": sorted(left_out(study)),
        "citation": study.citation,
        "records": [{"stage": rule, **parts} for rule in STAGES for parts in records_of(study, rule)],
    }


def figures_of(study: Study, run: Run) -> Iterator[tuple[dict, dict]]:
    """Figures that a run makes: name, network and paths of each, and its entry."""
    for block in figures(study, run):
        for name in block["figure"]:
            names = names_of(run) | {"figure": name}
            paths = {
                output: outputs(study, "figure", output, names) for output in study.rules["figure"].outputs
            }
            yield {"figure": name, "dataset": run.dataset, "model": run.model, **paths}, run.figures[name]


def described(study: Study, run: Run) -> dict:
    """What a sentence about a run is made of."""
    network = study.config["models"][run.model]
    return {
        "dataset": run.dataset,
        "model": run.model,
        "task": run.task,
        "network": {key: value for key, value in network.items() if key != "training"},
        "seeds": run.seeds,
        "rewind_iterations": run.rewind_iterations,
        "rounds": run.rounds,
        "prune_fraction": run.prune_fraction,
        "iterations": run.iterations,
        "batch_size": run.training["batch_size"],
    }


def records_of(study: Study, rule: str) -> list[dict]:
    """Where the run records of a stage lie: a spec as that of a table for each block of jobs."""
    if RECORD not in study.rules[rule].outputs:
        return []
    return [
        parts_of(study, rule, RECORD, run, [block])
        for run in study.runs
        for block in STAGES[rule].grid(study, run)
    ]


# Iterations


def from_start(study: Study, names: Names) -> range:
    """Train to the end: from iteration 0, after pretraining from where its clock then stands."""
    first = study.pretraining(names)
    return range(first.start if first else 0, study.run(names).iterations)


def first_phase(study: Study, names: Names) -> range:
    """Train for as long as pretraining takes."""
    return range(study.first_phase(names).iterations)


def to_checkpoint(study: Study, names: Names) -> range:
    """Train to k where k was added later and no earlier state was kept; the end is always kept."""
    k = int(names["k"])
    return range(0 if k == study.run(names).iterations else k)


def from_k(study: Study, names: Names) -> range:
    """Train from k to the end."""
    return range(int(names["k"]), study.run(names).iterations)


def branch_span(study: Study, names: Names) -> range:
    """Train from where the clock of a branch stands to the end."""
    start = study.starts_at(names["perturbation"], int(names["k"]))
    return range(start, study.run(names).iterations)


def to_stop(study: Study, names: Names) -> range:
    """Train from iteration 0 to the end that the path names."""
    return range(int(names["stop"]))


def replay(study: Study, names: Names) -> range:
    """Train once more as far as telemetry looks."""
    return study.run(names).watched


def kept_iterations(study: Study, names: Names) -> list[int]:
    """Iterations whose state a dense run keeps, besides its end."""
    first = study.pretraining(names)
    return [first.start] if first else study.run(names).kept_iterations


def total_iterations(study: Study, names: Names) -> int:
    """Iterations behind the end of a training that began with pretraining, first phase and past included."""
    past = study.starts_at(names["perturbation"], int(names["k"])) if "perturbation" in names else 0
    return past + study.first_phase(names).iterations + len(from_start(study, names))


# Inputs that a rule does not name


def outputs(study: Study, rule: str, output: str, names: Names, **others: object) -> str:
    """Path of an output of another job, with some wildcards replaced."""
    return study.rules[rule].outputs[output].format(**names | {key: str(v) for key, v in others.items()})


def before_round(study: Study, names: Names) -> Inputs:
    """What a round prunes: the trained dense network first, which has no mask; later the round before."""
    previous = int(names["round"]) - 1
    if previous == 0:
        end = study.run(names).iterations
        return {"weights": [outputs(study, "checkpoint", "state", names, k=end)], "mask": []}
    return {role: [outputs(study, "imp_round", role, names, round=previous)] for role in ("weights", "mask")}


def dense_ends(study: Study, names: Names) -> Inputs:
    """The trained dense network, which branches may look at."""
    end = study.run(names).iterations
    return {"final": [outputs(study, "checkpoint", "state", names, k=end)]}


def first_copies(study: Study, names: Names) -> Inputs:
    """What a second copy is compared with and made like: the ordinary run of the same network.

    Of the dense network, round 0, these are its end, and its states with their momentum.
    """
    if names["round"] != "0":
        made = {"first": "weights", "mask": "mask"}
        paths = {role: [outputs(study, "imp_round", output, names)] for role, output in made.items()}
        return paths | {"trajectory": []}
    end = study.run(names).iterations
    trajectory = outputs(study, "dense", "trajectory", names)
    return {
        "first": [outputs(study, "checkpoint", "state", names, k=end)], "mask": [],
        "trajectory": [trajectory],
    }  # fmt: skip


def timed_networks(study: Study, names: Names) -> Inputs:
    """The trained dense network, and mask and weights of each round whose inference is measured."""
    end, rounds = study.run(names).iterations, study.run(names).inference["rounds"]
    return {"dense": [outputs(study, "checkpoint", "state", names, k=end)]} | {
        role: [outputs(study, "imp_round", output, names, round=number) for number in rounds]
        for role, output in (("masks", "mask"), ("weights", "weights"))
    }


def start_of_dense(study: Study, names: Names) -> Inputs:
    """The state that a pretrained network begins with; nothing where it was not pretrained."""
    first = study.pretraining(names)
    if first is None:
        return {"start": []}
    own = names | {"pretraining": first.name, "iterations": str(first.iterations)}
    return {"start": [outputs(study, "pretrain", "state", own)]}


def at_all_times(study: Study, names: Names) -> Inputs:
    """States and eigenpairs at every time of curvature."""
    times = study.run(names).curvature_times
    return {
        "eigenpairs": [outputs(study, "curvature", "eigenpairs", names, k=k) for k in times],
        "states": [outputs(study, "checkpoint", "state", names, k=k) for k in times],
    }


def parts_of_table(study: Study, names: Names) -> Inputs:
    """The tables that a collected one is made of."""
    return {"parts": table_paths(of_table(study, names))}


def tables_of_figure(study: Study, names: Names) -> Inputs:
    """The tables that a figure reads."""
    reads, uses = study.reads(study.entry("figures", names))
    wanted = [
        outputs(study, "collect", "table", names_of(run), table=table)
        for run in networks_of_figure(study, names)
        for table in tables_of(study, run)
        if table in reads or table in uses
    ]
    return {"tables": wanted}


def networks_of_figure(study: Study, names: Names) -> list[Run]:
    """The run of a figure; before the others on its data set, where the figure compares models."""
    own = study.run(names)
    if not study.facts("figures", study.entry("figures", names)).get("across_models"):
        return [own]
    return [own, *(run for run in study.runs if run.dataset == own.dataset and run is not own)]


def tables_of_study(study: Study, names: Names) -> Inputs:
    """The tables of all runs."""
    path = study.rules["collect"].outputs["table"]
    return {
        "tables": [
            path.format(dataset=run.dataset, model=run.model, table=table)
            for run in study.runs
            for table in tables_of(study, run)
        ]
    }


def shown_in_report(study: Study, names: Names) -> Inputs:
    """Pictures and numbers of all figures, and the run records of all trainings."""
    pictures = [figure for run in study.runs for figure, _ in figures_of(study, run)]
    return {
        "figures": [one[kind] for one in pictures for kind in study.rules["figure"].outputs],
        "records": list(
            dict.fromkeys(
                path for rule in STAGES for parts in records_of(study, rule) for path in table_paths(parts)
            )
        ),
    }


STAGES = {  # in the order of the graph
    "data": Stage(once, of_data, looks_up=("datasets",)),
    "pretrain": Stage(
        pretrainings, of_pretraining, first_phase, looks_up=("models", "pretraining"),
        tables={"pretraining": "metrics"},
    ),
    "dense": Stage(
        dense_runs, of_dense, from_start, start_of_dense, looks_up=("models", "tasks"),
        tables={"dense": "metrics", "pretrained_dense": "metrics"},
        collects={"dense": each_seed, "pretrained_dense": pretrained},
    ),
    "checkpoint": Stage(kept_states, of_training, to_checkpoint, looks_up=("models", "tasks")),
    "telemetry": Stage(
        watched_runs, of_telemetry, replay, looks_up=("models", "tasks"),
        tables={"telemetry": "state", "traces": "traces", "evaluations": "evaluations"},
    ),
    "curvature": Stage(curvatures, of_curvature, looks_up=("models", "tasks"), tables={"curvature": "row"}),
    "fisher": Stage(fishers, of_fisher, looks_up=("models", "tasks"), tables={"fisher": "row"}),
    "pairs": Stage(pairs, of_columns, needs=at_all_times, tables={"pairs": "table"}),
    "imp_round": Stage(
        all_rounds, of_round, from_k, before_round, looks_up=("models", "tasks", "criteria"),
        tables={"imp": "metrics", "pretrained_imp": "metrics", "criteria": "metrics"},
        collects={"imp": rounds, "pretrained_imp": pretrained_rounds, "criteria": rounds_by_criteria},
    ),
    "stability": Stage(
        second_copies, of_stability, from_k, first_copies, looks_up=("models", "tasks"),
        tables={"stability": "pair", "lines": "line"},
    ),
    "inference": Stage(
        inferences, of_inference, needs=timed_networks, looks_up=("models", "tasks"),
        tables={"inference": "table"},
    ),
    "perturb": Stage(
        branches, of_branch, branch_span, dense_ends, looks_up=("models", "tasks", "perturbations"),
        tables={"perturbed": "metrics"},
    ),
    "pretrain_ticket": Stage(
        tickets, of_ticket, first_phase, dense_ends, looks_up=("models", "pretraining", "perturbations"),
        tables={"ticket_pretraining": "metrics"},
    ),
    "train_ticket": Stage(
        tickets, of_dense, from_start, looks_up=("models", "tasks"), tables={"pretrained_tickets": "metrics"}
    ),
    "deficit": Stage(
        deficits, of_deficit, to_stop, looks_up=("models", "tasks"), tables={"deficits": "metrics"}
    ),
    "collect": Stage(tables, of_table, needs=parts_of_table),
    "figure": Stage(figures, of_figure, needs=tables_of_figure, looks_up=("figures",)),
    "claims": Stage(once, of_claims, needs=tables_of_study, looks_up=("claims",)),
    "report": Stage(once, of_report, needs=shown_in_report),
}  # fmt: skip


def all_tables() -> list[str]:
    """Names of all tables, in the order of the graph."""
    return [table for stage in STAGES.values() for table in stage.tables]


def source_of(table: str) -> tuple[str, str]:
    """The rule, and its output, that a table is collected of."""
    return next((rule, stage.tables[table]) for rule, stage in STAGES.items() if table in stage.tables)


def tables_of(study: Study, run: Run) -> list[str]:
    """Tables that a run fills: those of stages with a job in it."""
    return [
        table
        for stage in STAGES.values()
        for table in stage.tables
        if any(all(block.values()) for block in stage.collected(study, run, table))
    ]


def nothing_to_show(study: Study, run: Run, figure: dict) -> str | None:
    """Why a figure would have nothing to show in a run; None where it has something."""
    there = tables_of(study, run)
    if missing := [table for table in study.reads(figure)[0] if table not in there]:
        return f"the study makes no table {' or '.join(missing)} of it"
    protocol = study.facts("figures", figure).get("protocol")
    if protocol and not any(protocol in entry for entry in run.critical_periods):
        return f"no entry of critical_periods has {protocol}"
    shown, rounds = shown_by(figure), {figure["round"]} if "round" in figure else None
    if shown and not perturbs(run, shown, rounds):
        return "none of the perturbations that it shows is applied"
    panels = panels_of(figure)
    if panels and not panels & {first.name for first, _ in study.beginnings(run)}:
        return "none of the pretrainings that it shows is applied"
    pretrained = {name for entry in run.sparse_pretraining for name in entry["perturbations"]}
    if tickets_of(figure) and not tickets_of(figure) & pretrained:
        return "none of the tickets that it shows is pretrained"
    return None


def left_out(study: Study) -> list[str]:
    """What is configured and cannot be, a sentence each, for people."""
    return study.left_out + [
        f"{run}: figure {name} is left out: {reason}"
        for run in study.runs
        for name, figure in run.figures.items()
        if (reason := nothing_to_show(study, run, figure))
    ]


def table_paths(spec: dict) -> list[str]:
    """Paths of the parts of a table, each once, from the spec that `of_table` gives."""
    paths = (spec["parts"].format(**values) for block in spec["values"] for values in combinations_of(block))
    return list(dict.fromkeys(paths))
