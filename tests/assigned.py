"""Studies as Snakemake reads them, and jobs as it assigns them."""

import io
import sys
from pathlib import Path
from unittest.mock import patch

from earlyphase.__main__ import main
from earlyphase.stages import study_of
from earlyphase.study.configuration import overlaid, read_files
from earlyphase.study.fingerprints import canonical, fingerprint

ROOT = Path(__file__).parents[1]
SMOKE = "tests/smoke.yaml"


def study(*paths, **settings):
    """The study of `config.yaml` with files and settings laid over it."""
    return study_of(
        overlaid(read_files([ROOT / "config.yaml", *(ROOT / path for path in paths)]), settings), ROOT
    )


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


@dataclass(frozen=True)
class Planned:
    """A job of Snakemake's own list."""

    rule: str
    wildcards: dict[str, str]
    inputs: list[str]
    outputs: list[str]
    log: str
    spec: dict


def planned_by_snakemake(configuration, folder):
    """Every job of a study as a dry run lists it, the report's among them and the rule that asks for all left out."""
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "figures", "report", "--nocolor"]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", ROOT / configuration]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return [one for text in re.split(r"\n\[.*\]\n", done.stdout + done.stderr) if (one := _planned(text))]
