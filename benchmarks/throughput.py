#!/usr/bin/env python3
"""Images a second of this project's training loop, against a plain PyTorch loop on the same cores.

The plain loop (plain_loop.py) is one process with as many threads and loader processes as there are cores,
which is the usual way. Ours (own_loop.py) is as many one-thread processes side by side as there are cores,
which is how the workflow runs its jobs; their images are added up over one window in which all of them train.
They take turns, and each pair gives a ratio. What else the machine does changes from minute to minute:
"others" says how many cores' worth it was during a run. The plain loop suffers more from it than ours.

usage: throughput.py [--pairs 3] [--seconds 10] [--cores N] [--jobs N] [--device cpu]
                     [--precision float32 bfloat16] [--quiet 0.2]
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import OtherLoad, describe, usable_cores
from shared import options

HERE = Path(__file__).resolve().parent
PLAIN = "plain loop"


def plain(cores, seconds, device):
    """Images a second of the plain loop."""
    command = [sys.executable, HERE / "plain_loop.py", "--seconds", str(seconds)]
    command += ["--workers", str(cores), "--threads", str(cores), "--device", device]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])


def ours(jobs, seconds, device, precision):
    """Images a second of `jobs` training processes side by side, added up."""
    command = [sys.executable, HERE / "own_loop.py", "--device", device, "--precision", precision]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(jobs)]
    try:
        if any(process.stdout.readline() != "ready\n" for process in processes):
            sys.exit("a training process ended early")
        start = time.time() + 0.2
        for process in processes:
            process.stdin.write(f"{start} {seconds}\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in processes)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def main():
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    parser.add_argument("--cores", type=int, default=len(usable_cores()), help="how many to use")
    parser.add_argument("--jobs", type=int, help="training processes side by side; as many as cores")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--precision", nargs="+", default=["float32"], choices=["float32", "tf32", "bfloat16"]
    )
    parser.add_argument(
        "--quiet", type=float, default=0.2, help="cores' worth of others that still count as none"
    )
    args = parser.parse_args()
    jobs = args.jobs or args.cores
    os.sched_setaffinity(0, usable_cores()[: args.cores])  # of the processes started below, too
    kinds = {PLAIN: lambda: plain(args.cores, args.seconds, args.device)}
    for precision in args.precision:
        for count in dict.fromkeys((jobs, 1)):
            kinds[f"{count} x ours, {precision}"] = lambda count=count, precision=precision: ours(
                count, args.seconds, args.device, precision
            )
    print(f"{describe()}; images/s (cores' worth of others)", flush=True)
    print("".join(f"{name:>26}" for name in kinds), flush=True)
    pairs = []
    for _ in range(args.pairs):
        pair = {}
        for name, measure in kinds.items():
            with OtherLoad() as others:
                pair[name] = measure(), others
            print(f"{pair[name][0]:>18.0f} ({others.cores:5.2f})", end="", flush=True)
        print(flush=True)
        pairs.append(pair)
    for name in list(kinds)[1:]:
        quiet = [pair for pair in pairs if max(pair[kind][1].cores for kind in (PLAIN, name)) <= args.quiet]
        for label, chosen in ((f"all {len(pairs)} pairs", pairs), (f"{len(quiet)} quiet pairs", quiet)):
            if chosen:
                ratios = sorted(pair[name][0] / pair[PLAIN][0] for pair in chosen)
                print(f"{name} / {PLAIN}, {label}: min {ratios[0]:.2f}, "
                      f"median {statistics.median(ratios):.2f}, max {ratios[-1]:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
