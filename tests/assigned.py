"""Studies as Snakemake reads them, and jobs as it lists and assigns them."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from unittest.mock import patch

from earlyphase.__main__ import main
from earlyphase.stages import stages_of
from earlyphase.study.configuration import catalogue, overlaid, read_files, read_yaml
from earlyphase.study.fingerprints import canonical, fingerprint
from earlyphase.study.rules import read_rules
from earlyphase.study.study import Study

ROOT = Path(__file__).parents[1]
SMOKE = "tests/smoke.yaml"
CONFIG = overlaid(catalogue(), read_yaml(ROOT / "config.yaml"))
SCHEMA = read_yaml(ROOT / "config.schema.yaml")


def configured(config):
    """The study of a whole configuration."""
    rules = read_rules(ROOT)
    return Study(deepcopy(config), SCHEMA, rules, stages_of(rules))


def read_study(*paths, **settings):
    """The study of `config.yaml` with files and settings laid over it."""
    laid = read_files([ROOT / path for path in paths]) if paths else {}
    return configured(overlaid(overlaid(CONFIG, laid), settings))


def lines(stage, spec, inputs, outputs, roots=("core.networks.resnet.resnet",)):
    """What a job reads on its standard input: spec, code and files, a line each."""
    files = {
        part: {
            role: list(map(str, paths)) if isinstance(paths, list) else str(paths)
            for role, paths in named.items()
        }
        for part, named in (("inputs", inputs), ("outputs", outputs))
    }
    return f"{canonical(spec)}\n{fingerprint(f'stages.{stage}.compute', *roots)}\n{canonical(files)}\n"


def carry_out(stage, spec, inputs, outputs, *options, roots=("core.networks.resnet.resnet",)):
    """Do a job in this process as `python -m earlyphase job` does; its exit status."""
    with patch.object(sys, "stdin", io.StringIO(lines(stage, spec, inputs, outputs, roots))):
        return main(["job", "--device", "cpu", *options])


def start(stage, spec, inputs, outputs, *options, roots=("core.networks.resnet.resnet",), **popen):
    """Do it in a process of its own, in the background, whose output is to be read."""
    with TemporaryFile("w+") as stream:
        stream.write(lines(stage, spec, inputs, outputs, roots))
        stream.seek(0)
        command = [sys.executable, "-m", "earlyphase", "job", "--device", "cpu", *options]
        pipes = {"stdin": stream, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, **pipes, **popen)


@dataclass(frozen=True)
class Planned:
    """A job of Snakemake's own list."""

    rule: str
    wildcards: dict[str, str]
    inputs: list[str]
    outputs: list[str]
    log: str
    spec: dict  # as it stands in its command


@cache
def planned_by_snakemake(configuration):
    """Every job of a study of seed 0 that makes a file, the report's among them, as a dry run lists it."""
    with TemporaryDirectory() as folder:
        return _planned_in(configuration, Path(folder))


def _planned_in(configuration, folder):
    for name in ("Snakefile", "config.yaml", "config.schema.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "rules").mkdir()
    for path in (ROOT / "rules").iterdir():  # Snakemake lists the files of a job only where it has no message
        without = re.sub(r"^    message:\n        .*\n", "", path.read_text(), flags=re.MULTILINE)
        (folder / "rules" / path.name).write_text(without)
    words = [
        "-n",
        "-p",
        "figures",
        "report",
        "--nocolor",
        "--configfile",
        ROOT / configuration,
        "--config",
        "seeds=[0]",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    blocks = re.findall(r"^(?:local)?rule (\w+):\n(.*?)^\[", done.stdout + done.stderr + "[", re.M | re.S)
    return [_planned(rule, block) for rule, block in blocks if "\n    output: " in f"\n{block}"]


def _planned(rule, block):
    said = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
    inputs, outputs, wildcards = (
        said[name].split(", ") if name in said else [] for name in ("input", "output", "wildcards")
    )
    words = shlex.split(re.search(r"python -m earlyphase job .*", block)[0])
    spec = words[words.index("<<<") + 1].partition("$\\n")[0]
    return Planned(
        rule, dict(one.split("=") for one in wildcards), inputs, outputs, said["log"], json.loads(spec)
    )
