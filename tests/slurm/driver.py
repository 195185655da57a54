"""Drive a study on a throw-away cluster: start it, find what trains, do it harm, see what became of it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# A cluster without accounting, watched more closely than anybody should watch a real one.
ON_CLUSTER = (
    *("--workflow-profile", ROOT / "profiles/slurm", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"),
)
TABLES = (
    "--",
    *(f"results/tables/synthetic/tiny/{stage}.csv" for stage in ("imp", "perturbed")),
)  # of the chain
LOCALLY = ("--workflow-profile", ROOT / "profiles/default", "--cores", "1")


def until(condition, seconds=300, what=""):
    """Wait for `condition()` to be true; return what it is then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what or condition.__name__}")
        time.sleep(0.05)
    return found


class Cluster:
    """One node of SLURM on this machine, in a folder of its own."""

    def __init__(self, folder, *options):
        self.folder = Path(folder)
        self._script("start", "--dir", self.folder, *options)
        settings = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        settings["PATH"] = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        self.environment = os.environ | settings
        self.environment.pop("OMP_NUM_THREADS", None)  # Snakemake sets it to what a rule was granted

    def stop(self):
        self._script("stop", "--dir", self.folder)

    def _script(self, name, *options):
        subprocess.run([HERE / f"{name}-test-cluster.sh", *options], check=True, stdout=subprocess.DEVNULL)

    def call(self, *words):
        """Run a client of SLURM; return what it printed."""
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        ).stdout

    def jobs(self, folder, rule="", *, states="all"):
        """Numbers of the jobs of a study, oldest first; with a rule, of its jobs alone."""
        printed = self.call("squeue", "--noheader", f"--states={states}", "--format=%A|%k|%Z", "--sort=i")
        rows = [line.split("|") for line in printed.splitlines()]
        return [number for number, comment, where in rows if where == str(folder) and rule in comment]

    def state(self, number):
        """What SLURM says of a job: RUNNING, TIMEOUT, CANCELLED, ..."""
        return re.search(r"JobState=(\w+)", self.call("scontrol", "show", "job", number))[1]


class Workflow:
    """One study in a folder, and the Snakemake that is at work on it."""

    def __init__(self, folder, configuration, environment, *options):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self._environment = environment | {"PYTHONPATH": str(ROOT / "src")}
        self._command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
        self._command += ["--directory", self.folder, "--configfile", configuration]
        self._options = options
        self.log = self.folder / "snakemake.log"

    def start(self, *more):
        """Start Snakemake in the background."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, *self._options, *more],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment, cwd=ROOT,
            )  # fmt: skip
        return self

    def unlock(self):
        subprocess.run(
            [*self._command, "--unlock"], env=self._environment, cwd=ROOT, check=True, capture_output=True
        )

    def finish(self, seconds=300):
        """Wait for the end; return the exit status and what was printed since the folder was made."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.interrupt()
            status = "hanging"
        return status, self.log.read_text()

    def interrupt(self):
        """End it as Ctrl-C does, which cancels its jobs; where that does not help, kill it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def training(self):
        """Processes that train for this study."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if "earlyphase" in words and "--resume" in words and process.info["cwd"] == str(self.folder):
                found.append(process)
        return found

    def paused(self, resume):
        """Stop the training that saves its progress in `resume`, after its first save; return the process.

        So that what is done to it next meets it in the middle, however slow the cluster is to act. Let it
        go on as soon as SLURM has begun to end it: a stopped process cannot save before it is killed.
        """
        path = self.folder / resume
        until(path.exists, what=f"{resume} in {self.folder}:\n{self.log.read_text()[-3000:]}")
        (process,) = [one for one in self.training() if resume in one.info["cmdline"]]
        process.suspend()
        return process

    def artifacts(self):
        """Bytes of everything that must not depend on what happened: all but run records."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted((self.folder / "results").rglob("*"))
            if path.is_file() and path.suffix != ".json"
        }
