"""One round of iterative pruning: prune by the criterion of the chain, rewind to iteration k, retrain."""

import functools

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import from_k, ticket_size, training_spec, training_work
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table
from earlyphase.study.run import CRITERION, Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """Every round of every chain, pretrained or not, by whatever criterion."""
    return [
        *rounds(study, run),
        *pretrained_rounds(study, run),
        *diet_rounds(study, run),
        *rounds_by_criteria(study, run),
    ]


def rounds(study: Study, run: Run) -> list[Block]:
    """Every round of every chain of a run's own task and criterion."""
    return [{"seed": run.seeds, "k": run.rewind_iterations, "round": list(range(1, run.rounds + 1))}]


def begun_rounds(study: Study, run: Run, *, diet: bool) -> list[Block]:
    """Every round of the chains that rewind to what a network began with: see `dense.begun`."""
    return [
        {"seed": run.seeds, "task": [first.label], "k": [first.start], "round": list(range(1, count + 1))}
        for first, count in study.beginnings(run)
        if bool(first.images) == diet
    ]


pretrained_rounds = functools.partial(begun_rounds, diet=False)
diet_rounds = functools.partial(begun_rounds, diet=True)


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


def states(run: Run) -> list[int]:
    """The iterations that chains rewind to."""
    return run.rewind_iterations


def spec(job: Job) -> dict:
    """A training, and how a round prunes; the columns name the criterion where it is not that of the run."""
    training, name = training_spec(job), job.names["criterion"]
    if name != CRITERION:
        training["columns"] |= {"criterion": name}
    return training | {"criterion": job.entry("criteria"), "prune_fraction": job.run.prune_fraction}


def inputs(job: Job) -> Inputs:
    """What a round prunes: the trained dense network first, which has no mask; later the round before."""
    previous = int(job.names["round"]) - 1
    if previous == 0:
        return {"weights": job.path("checkpoint", "state", k=job.run.iterations), "mask": []}
    return {role: job.path("imp_round", role, round=previous) for role in ("weights", "mask")}


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Prune the network of the round before, retrain what is left to the end: see `core.retraining`."""
    from dataclasses import replace
    from functools import partial

    from earlyphase.core.criteria import Pruning, prune
    from earlyphase.core.masks import density, full_mask
    from earlyphase.core.networks.state import prunable_names
    from earlyphase.core.retraining import retraining
    from earlyphase.core.training import mean_gradient
    from earlyphase.runtime.storage import load_mask, save_mask, save_rows
    from earlyphase.runtime.tickets import load_state_at, load_trained, save_trained
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, end = job.spec["columns"]["k"], training.settings.iterations
        rewound = load_state_at(inputs["rewind"], k)  # normalisation statistics included
        trained, _ = load_trained(inputs["weights"])
        model = training.network()
        previous = (
            load_mask(inputs["mask"]) if "mask" in inputs else full_mask(trained, prunable_names(model))
        )
        gradient = partial(mean_gradient, model, training.training(rewound, range(k, end), previous))
        given = Pruning(trained, rewound, previous, job.spec["prune_fraction"], gradient)
        criterion = dict(job.spec["criterion"])
        way = criterion.pop("retraining", "weight_rewinding")
        mask = prune(criterion, given, training.seed)
        start, settings = retraining(way, rewound, trained, training.settings)
        rest = replace(training.training(start, range(k, end), mask), settings=settings)
        progress = training.train(rest, model)
        save_mask(outputs["mask"], mask)
        save_trained(outputs["weights"], progress.weights, mask, end)
        save_rows(outputs["metrics"], training.metrics(progress, density(mask), mask))
        training.finish(outputs["run"], density=density(mask))


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=training_work,
    size=ticket_size,
    span=from_k,
    inputs=inputs,
    states=states,
    looks_up=("models", "tasks", "criteria"),
    tables={
        "imp": Table("metrics", rounds),
        "pretrained_imp": Table("metrics", pretrained_rounds),
        "diet_imp": Table("metrics", diet_rounds),
        "criteria": Table("metrics", rounds_by_criteria),
    },
)
