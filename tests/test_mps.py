"""NVIDIA's Multi-Process Service, by a stand-in for its program: when it is started, how jobs learn of it, its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from earlyphase.runtime import mps
from test_machine import probed

# A daemon is a file `alive` in its folder.
PROGRAM = """#!/bin/sh
folder=${CUDA_MPS_PIPE_DIRECTORY:-%(folder)s}
[ "$1" ] && command=start || read -r command
echo "$command $folder $CUDA_VISIBLE_DEVICES" >> %(folder)s/calls
if [ "$1" ]; then [ ! -e %(folder)s/broken ] && touch "$folder/alive"; exit; fi
[ -e "$folder/alive" ] || exit 1
if [ "$command" = quit ]; then rm "$folder/alive"; fi
"""
VARIABLES = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY", "CUDA_VISIBLE_DEVICES")


class Machine:
    """A machine with one GPU, and what was asked of the stand-in there."""

    def __init__(self, folder):
        self.folder = folder
        self.ends = []  # what is to be called when the process ends
        self.put("nvidia-smi", "#!/bin/sh\necho NVIDIA H200\n")
        self.put(mps.CONTROL, PROGRAM % {"folder": folder})

    def put(self, name, text):
        """Put a program on PATH."""
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def calls(self):
        """Commands that changed something: (command, folder, CUDA_VISIBLE_DEVICES)."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(line.split(" ")) for line in lines if not line.startswith(mps.ANSWERED)]

    def commands(self):
        return [command for command, *_ in self.calls()]

    def end(self):
        """Do what a process does when it ends."""
        for function, *arguments in self.ends:
            function(*arguments)


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """Pretend that there is a GPU; processes use MPS without complaint."""
    (tmp_path / "bin").mkdir()
    machine = Machine(tmp_path / "bin")
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{machine.folder}:{os.environ['PATH']}")
    monkeypatch.setattr(mps, "CLIENT", "pass")
    monkeypatch.setattr(mps.atexit, "register", lambda *call: machine.ends.append(call))
    monkeypatch.chdir(tmp_path)
    return machine


def test_it_is_started_in_a_folder_of_its_own_and_ended(gpu):
    assert "under NVIDIA's MPS, which ends" in mps.start("cuda")
    folder = Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
    assert os.environ["CUDA_MPS_LOG_DIRECTORY"] == str(folder)
    assert folder.stat().st_uid == os.getuid() and folder.parent.stat().st_mode & 0o077 == 0
    assert len(str(folder)) < 60  # a socket's path has at most 107 bytes
    gpu.end()
    assert gpu.calls() == [("start", str(folder), ""), ("quit", str(folder), "")]
    assert not folder.exists()


@pytest.mark.parametrize(("chosen", "of_jobs"), [("2", "0"), ("GPU-1234", "GPU-1234")])
def test_a_gpu_that_was_chosen_is_the_one_of_the_daemon(gpu, monkeypatch, chosen, of_jobs):
    """The daemon numbers the devices that it sees anew, says NVIDIA's manual."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert "which ends with this run" in mps.start("cuda")
    assert gpu.calls()[0][2] == chosen and os.environ["CUDA_VISIBLE_DEVICES"] == of_jobs
    gpu.end()


def test_a_service_of_the_user_is_used_and_left_alone(gpu, tmp_path, monkeypatch):
    (tmp_path / "alive").touch()
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert "that is there already" in mps.start("cuda")
    gpu.end()
    assert gpu.commands() == [] and (tmp_path / "alive").exists()
    assert os.environ["CUDA_MPS_PIPE_DIRECTORY"] == str(tmp_path)


@pytest.mark.parametrize("alive", [True, False])
def test_what_a_killed_run_left_is_taken_over_or_cleared_away(gpu, alive):
    mps.start("cuda")
    folder = Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
    gpu.ends.clear()  # killed
    for name in VARIABLES:
        os.environ.pop(name, None)
    (folder / "control.lock").touch()
    if not alive:
        (folder / "alive").unlink()
    assert "which ends with this run" in mps.start("cuda")
    assert (folder / "control.lock").exists() == alive
    gpu.end()
    assert gpu.commands() == ["start", *["start"] * (not alive), "quit"] and not folder.exists()


def no_program(gpu, monkeypatch):
    (gpu.folder / mps.CONTROL).unlink()


def two_gpus(gpu, monkeypatch):
    gpu.put("nvidia-smi", "#!/bin/sh\necho NVIDIA A100\necho NVIDIA A100\n")


def two_chosen(gpu, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def does_not_start(gpu, monkeypatch):
    (gpu.folder / "broken").touch()


def refuses_clients(gpu, monkeypatch):
    monkeypatch.setattr(mps, "CLIENT", "raise SystemExit(1)")


def hangs(gpu, monkeypatch):
    gpu.put(mps.CONTROL, "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(mps, "PATIENCE", 0.3)


@pytest.mark.parametrize(
    ("obstacle", "said", "commands"),
    [
        (no_program, "nvidia-cuda-mps-control, which starts NVIDIA's MPS, is not on PATH", []),
        (two_gpus, "one of the 2 GPUs take turns", []),
        (two_chosen, "one of the 2 GPUs take turns", []),
        (does_not_start, "NVIDIA's MPS does not work here", ["start", "quit"]),
        (refuses_clients, "NVIDIA's MPS does not work here", ["start", "quit"]),
        (hangs, "NVIDIA's MPS does not work here", []),
    ],
)
def test_where_it_cannot_be_used_a_sentence_says_why_and_nothing_is_changed(
    gpu, monkeypatch, obstacle, said, commands
):
    obstacle(gpu, monkeypatch)
    before = dict(os.environ)
    sentence = mps.start("cuda")
    assert said in sentence and "take turns" in sentence and "\n" not in sentence
    assert dict(os.environ) == before and gpu.commands() == commands
    gpu.end()
    if "what it wrote is in " in sentence:
        folder = Path(sentence.partition("what it wrote is in ")[2])
        assert not (folder / "alive").exists()
        folder.rmdir()


def test_no_service_is_started_for_a_processor(gpu):
    assert "trained on the CPU" in mps.start("cpu")
    assert gpu.commands() == [] and not gpu.ends


def test_what_it_needs_does_not_import_torch():
    program = "import sys; from earlyphase.runtime import mps; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_run_of_the_workflow_starts_and_ends_it(gpu, tmp_path, ends_well):
    project = probed(tmp_path / "project")
    plugin = project.folder / "probe.py"
    last = "return synthetic()" if ends_well else "raise OSError('no images')"
    shown = f"    import os\n    print(os.environ['CUDA_MPS_PIPE_DIRECTORY'])\n    {last}\n"
    plugin.write_text(plugin.read_text().replace("    return synthetic()\n", shown))
    project.append("src/earlyphase/runtime/mps.py", "\nCLIENT = 'pass'\n")  # no CUDA is needed
    options = ["--workflow-profile", "profiles/gpu", "--config", "execution={device: cuda}"]
    printed = project.snakemake("results/data/probe.safetensors", *options, check=ends_well)
    assert "note: jobs run side by side on the GPU under NVIDIA's MPS" in printed
    (_, folder, _), (last, *_) = gpu.calls()
    assert last == "quit" and not Path(folder).exists()
    assert folder in (project.folder / "logs/data/probe.log").read_text().splitlines()
    assert ("no images" in printed) != ends_well


def test_the_profile_for_a_gpu_serves_a_processor_too(gpu, tmp_path):
    project = probed(tmp_path / "project")
    printed = project.snakemake("results/data/probe.safetensors", "--workflow-profile", "profiles/gpu")
    assert "note: NVIDIA's MPS is not started, because networks are trained on the CPU" in printed
    project.snakemake("results/data/probe.safetensors", "--cores", "1", "--forcerun", "data")
    assert gpu.commands() == []
