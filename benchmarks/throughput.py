#!/usr/bin/env python3
"""Images a second of this project's training loop, against a plain PyTorch loop and a matrix product.

The plain loop (plain_loop.py) is one process with as many threads and loader processes as there are cores,
which is the usual way. Ours (own_loop.py) is as many one-thread processes side by side as there are cores,
which is how the workflow runs its jobs; their images are added up over one window in which all of them
train. A product of 2,048 x 2,048 (matrix_product.py), in the same precision on one thread, says what the
processor can do; one job of ours reaches a share of that, by the operations of its convolutions and linear
layers. All take turns, and the ratios are of each round of turns. What else the machine does changes from
minute to minute: "others" says how many cores' worth it was during a run. The plain loop suffers more from
it than ours.

usage: throughput.py [--network resnet20] [--rounds 3] [--seconds 10] [--cores N] [--jobs N] [--device cpu]
                     [--precision float32 bfloat16] [--quiet 0.2]
"""

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from machine import OtherLoad, describe, usable_cores
from shared import CASES, flops_of_image, options

HERE = Path(__file__).resolve().parent
PLAIN = "plain loop"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def plain(network, cores, seconds, device):
    """Images a second of the plain loop."""
    command = [sys.executable, HERE / "plain_loop.py", "--network", network, "--seconds", str(seconds)]
    command += ["--workers", str(cores), "--threads", str(cores), "--device", device]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])


def ours(jobs, seconds, network, device, precision, mode="jobs", environment=ONE_THREAD):
    """Images a second of training processes side by side, added up."""
    command = [sys.executable, HERE / "own_loop.py", "--network", network, "--device", device]
    command += ["--precision", precision, "--mode", mode]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(jobs)]
    try:
        for process in processes:
            wait_for(process)
        start = time.time() + 0.2
        for process in processes:
            process.stdin.write(f"{start} {seconds}\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in processes)
    finally:
        for process in processes:
            process.terminate()
            with process:  # closes its pipes, and waits
                pass


def wait_for(process):
    """Wait until a training process is warm."""
    if "ready\n" not in process.stdout:
        raise ChildProcessError("a training process ended early")


def product(seconds, device, precision, size=2048):
    """Operations a second of a matrix product."""
    command = [sys.executable, HERE / "matrix_product.py", "--seconds", str(seconds), "--size", str(size)]
    command += ["--device", device, "--precision", precision]
    done = subprocess.run(command, env=ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def kinds_of(args, jobs):
    """What takes turns: name -> call that returns a rate."""
    kinds = {PLAIN: lambda: plain(args.network, args.cores, args.seconds, args.device)}
    for precision in args.precision:
        for count in dict.fromkeys((jobs, 1)):
            kinds[f"{count} x ours, {precision}"] = partial(
                ours, count, args.seconds, args.network, args.device, precision
            )
        kinds[f"product, {precision}"] = partial(product, args.seconds, args.device, precision)
    return kinds


def parsed():
    """The options."""
    parser = options(__doc__)
    parser.add_argument("--network", default="resnet20", choices=CASES)
    parser.add_argument("--rounds", type=int, default=3, help="of turns")
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    parser.add_argument("--cores", type=int, default=len(usable_cores()), help="how many to use")
    parser.add_argument("--jobs", type=int, help="training processes side by side; as many as cores")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "bfloat16"],
        choices=["float32", "tf32", "bfloat16"],
    )  # fmt: skip
    parser.add_argument(
        "--quiet", type=float, default=0.2, help="cores' worth of others that still count as none"
    )
    return parser.parse_args()


def print_ratios(rounds, name, by, label, quiet, scale=1.0):
    """Print the ratio of one rate to another, over all rounds and over those in which others did little."""
    calm = [one for one in rounds if max(one[kind][1].cores for kind in (name, by)) <= quiet]
    for which, chosen in ((f"all {len(rounds)} rounds", rounds), (f"{len(calm)} quiet rounds", calm)):
        if chosen:
            ratios = sorted(scale * one[name][0] / one[by][0] for one in chosen)
            print(f"{label}, {which}: min {ratios[0]:.2f}, "
                  f"median {statistics.median(ratios):.2f}, max {ratios[-1]:.2f}")  # fmt: skip


def main():
    args = parsed()
    os.sched_setaffinity(0, usable_cores()[: args.cores])  # of the processes started below, too
    kinds = kinds_of(args, args.jobs or args.cores)
    print(f"{describe()}; {args.network}; images/s or operations/s (cores' worth of others)", flush=True)
    print("".join(f"{name:>26}" for name in kinds), flush=True)
    rounds = []
    for _ in range(args.rounds):
        one = {}
        for name, measure in kinds.items():
            with OtherLoad() as others:
                one[name] = measure(), others
            print(f"{one[name][0]:>18.4g} ({others.cores:5.2f})", end="", flush=True)
        print(flush=True)
        rounds.append(one)
    for name in kinds:
        if "ours" in name:
            print_ratios(rounds, name, PLAIN, f"{name} / {PLAIN}", args.quiet)
    operations = flops_of_image(CASES[args.network])
    for precision in args.precision:
        mine, by = f"1 x ours, {precision}", f"product, {precision}"
        print_ratios(rounds, mine, by, f"{mine}: share of a matrix product", args.quiet, scale=operations)


if __name__ == "__main__":
    main()
