"""Say what the configured study will take: jobs, iterations, hours on this machine, gigabytes."""

import argparse
import os
from itertools import groupby

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.runtime import calibration, machine
from earlyphase.sentences import duration
from earlyphase.study.demand import of_unknown_work
from earlyphase.study.planning import Plan, Speed, case_of, iterations_of
from earlyphase.study.stages import STAGES, left_out
from earlyphase.study.status import state_of_job
from earlyphase.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_study_arguments(parser)
    parser.add_argument("--jobs", type=int, help="jobs side by side; as many as there are cores, or GPUs")


def run(args: argparse.Namespace) -> None:
    """Print the plan; nothing is trained but what is timed, once for each network on this machine.

    Raises:
        InvalidInput: `--jobs` is below 1, or a network cannot be timed.
    """
    if args.jobs is not None and args.jobs < 1:
        raise InvalidInput(f"--jobs is {args.jobs}; it must be at least 1")
    study = load_study(args)
    device = machine.device(study.config["execution"]["device"])
    speeds = print_speeds(study, device)
    plan = Plan.of(study, speeds)
    print_jobs(study, plan)
    print_time(plan, args.jobs or side_by_side(device))
    if done := [one for one in plan.seconds if state_of_job(study, one).name == "done"]:
        left = sum(plan.seconds.values()) - sum(plan.seconds[one] for one in done)
        print(f"{len(done):,} of {len(plan.seconds):,} jobs are done; {duration(left)} of work are left")
    for sentence in [*left_out(study), *of_unknown_work(study)]:
        print(f"note: {sentence}")


def side_by_side(device: str) -> int:
    """Jobs that this machine runs at a time: one a GPU, or one a core."""
    return max(1, len(machine.gpu_models())) if device == "cuda" else machine.processors()


def print_speeds(study: Study, device: str) -> dict[tuple[str, str], Speed]:
    """Print how fast each network is trained here; return that by data set and model."""
    execution = study.config["execution"]
    environment = (
        os.environ | machine.instruction_limits(execution["instructions"]) | {"OMP_NUM_THREADS": "1"}
    )
    cases = {(run.dataset, run.model): case_of(study, run) for run in study.runs}
    found = calibration.answers(
        list(cases.values()), machine.described(device, environment), device=device, environment=environment
    )
    speeds = {}
    for run, answer in zip(study.runs, found, strict=True):
        automatic = execution["precision"] == calibration.AUTO
        precision = answer["precision"] if automatic else execution["precision"]
        speed = speeds[run.dataset, run.model] = Speed.of(answer["measured"], precision)
        batch = run.training["batch_size"]
        print(f"{run}: {batch / speed.step:,.0f} images/s, {speed.step:.3g} s an iteration, in {precision}")
        if automatic:
            print(f"  {answer['because']}")
    return speeds


def print_jobs(study: Study, plan: Plan) -> None:
    """Print a line for each kind of job, and one for all."""
    print(f"\n{'jobs':18}{'number':>9}{'iterations':>16}{'hours':>14}{'GB':>10}")
    for rule in [*STAGES, ""]:
        some = [one for one in plan.seconds if rule in ("", one.rule)]
        if some:
            trained = sum(len(iterations_of(study, one)) for one in some)
            hours = sum(plan.seconds[one] for one in some) / 3600
            gigabytes = sum(plan.sizes[one] for one in some) / 1e9
            print(f"{rule or 'all':18}{len(some):>9,}{trained:>16,}{hours:>14,.2f}{gigabytes:>10.3f}")


def print_time(plan: Plan, at_a_time: int) -> None:
    """Print how long the study takes at least: by all its work, and by the jobs that wait for one another."""
    work, longest = sum(plan.seconds.values()), sum(plan.seconds[one] for one in plan.chain)
    least = duration(max(work / at_a_time, longest))
    print(f"\n{at_a_time} jobs at a time: {least} or more, of {duration(work)} of work")
    print(f"longest chain, which no number of cores makes shorter: {duration(longest)}")
    print(f"  {', '.join(in_words(plan))}")


def in_words(plan: Plan) -> list[str]:
    """Name the links of the longest chain; those of one kind that follow one another together."""
    words = []
    for rule, group in groupby(plan.chain, key=lambda one: one.rule):
        some = list(group)
        count = f"{len(some)} x " if len(some) > 1 else ""
        words.append(f"{count}{rule} {duration(sum(plan.seconds[one] for one in some))}")
    return words
