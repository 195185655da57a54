"""Jobs forked from a preloaded process behave as if started by themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import test_resume as resumable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: jobs are never preloaded here")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Environment in which a server of its own is up; it runs the words after `-m earlyphase`."""
    folder = tmp_path_factory.mktemp("sockets")
    environment = os.environ | {"TMPDIR": str(folder)}
    environment.pop("SLURM_JOB_ID", None)
    first = run(["--preload", "fingerprint", "core.masks.density"], environment)
    assert first.returncode == 0
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.socket")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield environment
    subprocess.run(["pkill", "-f", f"earlyphase.runtime.preload {folder}"], check=False)


def run(words, environment, **options):
    command = [sys.executable, "-m", "earlyphase", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **options)


def test_output_status_and_folder_are_those_of_an_ordinary_run(server, tmp_path):
    plain = run(["fingerprint", "core.masks.density"], server)
    forked = run(["--preload", "fingerprint", "core.masks.density"], server)
    assert (forked.returncode, forked.stdout, forked.stderr) == (0, plain.stdout, plain.stderr)
    (tmp_path / "config.yaml").write_text("[]")
    (tmp_path / "config.schema.yaml").write_text("{}")
    for words in (["status"], ["fingerprint", "core.masks.gone"], ["nonsense"]):
        plain = run(words, server, cwd=tmp_path)
        forked = run(["--preload", *words], server, cwd=tmp_path)
        assert plain.returncode in (1, 2)
        assert (forked.returncode, forked.stdout) == (plain.returncode, plain.stdout)
        assert forked.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def long_job(server, folder):
    """A training command that takes a while, started through the server."""
    rng_data = folder / "data.safetensors"
    resumable.make_data(rng_data)
    spec = resumable.SPEC | {"training": resumable.SPEC["training"] | {"iterations": 5000}}
    return resumable.start(folder, rng_data, spec, options=["--preload"], environment=server)


def forks(folder):
    """Processes other than the asking one that work in `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            if "earlyphase.runtime.preload" in words and (path / "cwd").readlink() == folder:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_signal_reaches_the_fork_which_saves_and_ends(server, tmp_path):
    process = long_job(server, tmp_path)
    wait_until(lambda: (tmp_path / "trajectory.resume").exists())
    assert forks(tmp_path)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert "progress is saved" in output
    assert process.returncode == 128 + signal.SIGTERM
    wait_until(lambda: not forks(tmp_path))


def test_the_fork_ends_when_the_asking_process_is_killed(server, tmp_path):
    process = long_job(server, tmp_path)
    wait_until(lambda: (tmp_path / "trajectory.resume").exists())
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not forks(tmp_path))


def test_a_killed_fork_is_a_failed_job(server, tmp_path):
    process = long_job(server, tmp_path)
    wait_until(lambda: (tmp_path / "trajectory.resume").exists())
    os.kill(forks(tmp_path)[0], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL


def test_under_slurm_jobs_start_by_themselves(server):
    code = "from earlyphase.runtime.preload import run_preloaded; print(run_preloaded(['fingerprint', 'core.masks.density']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=server | {"SLURM_JOB_ID": "1"}, capture_output=True, text=True
    )
    assert done.stdout == "None\n"
