"""Whatever machine and shell it runs in: GPUs that are none, locales, paths, environments, other systems."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from assigned import ROOT
from earlyphase.__main__ import main
from earlyphase.errors import InvalidInput
from earlyphase.runtime import machine, plugins
from test_workflow import Project

PROBE = '''
import locale
import sys
from pathlib import Path

import matplotlib.pyplot

from earlyphase import DataSet, dataset


@dataset(train=256, test=128, size=8, channels=3)
def probe() -> DataSet:
    """Noise; it says what its process runs in."""
    from earlyphase.datasets.synthetic import synthetic

    print([str(Path(sys.executable).parent), matplotlib.get_backend(), locale.getpreferredencoding(False).lower()])
    return synthetic()
'''


def probed(folder):
    """A project in a folder, of a data set that is prepared by a plugin, `probe`."""
    folder.mkdir()
    project = Project(folder)
    (folder / "probe.py").write_text(PROBE)
    datasets = {"probe": {"function": "probe", "flip": False}}
    project.configure(plugins=["probe.py"], datasets=datasets, runs=[{"dataset": "probe", "model": "tiny"}])
    return project


HERE = [str(Path(sys.executable).parent), "agg", "utf-8"]


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("it's", {"PATH": "/usr/bin:/bin"}),  # `.venv/bin/snakemake`, and nothing is activated
        ('a "b" $HOME', {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}),  # of Jupyter or Colab
        ("ä;b # c", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
)
def test_jobs_run_whatever_the_shell_says_and_the_folder_is_called(tmp_path, monkeypatch, name, environment):
    project = probed(tmp_path / name)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    project.snakemake("results/data/probe.safetensors", "--cores", "1")
    assert (project.folder / "logs/data/probe.log").read_text().splitlines()[0] == str(HERE)
    assert "jobs: 1 done" in project.command("status")


def test_standard_output_holds_any_path_in_any_locale(tmp_path):
    paths = [tmp_path / os.fsdecode(name) for name in ("ä".encode(), b"\xe4")]
    for path in paths:
        path.mkdir()
        row = "id,reading,dataset,model,ours,interval,verdict,same_test_as\nR1,,digits,resnet8,1,± 2,reproduced,\n"
        (path / "claims.csv").write_text(row, encoding="utf-8")
    for locale in ({"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONUTF8": "1"}):
        environment = os.environ | {"PYTHONCOERCECLOCALE": "0"} | locale
        command = [sys.executable, "-m", "earlyphase", "compare", *paths]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert b"\xc3\xa4: verdict | \xe4: ours" in done.stdout and "± 2".encode() in done.stdout


@pytest.mark.parametrize("name", ["a:b", "{a}"])
def test_a_folder_whose_name_cannot_be_passed_on_is_refused_in_a_sentence(monkeypatch, name):
    monkeypatch.setattr(plugins, "SOURCE", f"/home/{name}/src")
    with pytest.raises(InvalidInput, match=rf"{name}/src has a '{name.strip('ab')[0]}' in its name"):
        plugins.announce([])


def test_values_of_a_command_line_count_in_status_plan_and_explain(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--snakefile", str(ROOT / "Snakefile"), "--config"]
    assert main(["status", *options, "rounds=4", "seeds=[7]"]) == 0
    printed = capsys.readouterr().out
    assert "rounds 1 to 4" in printed and "seed 7 " in printed and "seed 0 " not in printed
    for command in (["plan"], ["explain", "results/claims.csv"]):
        assert main([*command, *options, "rounds=0"]) == 1
        assert "rounds is 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["status", "--conf", "x"])
    assert "unrecognized arguments: --conf x" in capsys.readouterr().err


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put an nvidia-smi on PATH that does what a line of shell says."""

    def write(line):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return write


@pytest.mark.parametrize("line", ["exit 9", "echo 'NVIDIA-SMI has failed'; exit 9", "kill -9 $$"])
def test_a_program_for_gpus_is_no_gpu(nvidia_smi, line):
    nvidia_smi(line)
    assert machine.device("auto") == "cpu"


@pytest.mark.parametrize(("visible", "found"), [(None, "cuda"), ("0", "cuda"), ("", "cpu"), ("-1", "cpu")])
def test_a_gpu_that_is_hidden_is_not_used(nvidia_smi, monkeypatch, visible, found):
    nvidia_smi("echo NVIDIA A100")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.device("auto") == found
    assert machine.device("cpu") == "cpu" and machine.device("cuda") == "cuda"


def test_processors_are_counted_where_a_system_does_not_tell_which_are_granted(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert machine.processors() == os.cpu_count()


@pytest.mark.parametrize(
    ("flags", "limit", "refused"),
    [
        ("fma avx2", None, True),
        ("fma avx2 avx512f avx512_bf16", None, False),
        ("fma avx2 avx512f avx512_bf16", "avx2", True),
        (None, None, False),  # another architecture or system: not known
    ],
)
def test_bfloat16_without_its_instructions_is_refused(tmp_path, flags, limit, refused):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: A B\nflags\t\t: {flags}\n" if flags else "")
    environment = machine.instruction_limits(limit or "auto")
    machine.check_precision("cpu", "float32", environment, cpuinfo)
    machine.check_precision("cuda", "bfloat16", environment, cpuinfo)
    if not refused:
        machine.check_precision("cpu", "bfloat16", environment, cpuinfo)
        return
    with pytest.raises(InvalidInput, match="is bfloat16, for which A B has no instructions"):
        machine.check_precision("cpu", "bfloat16", environment, cpuinfo)
