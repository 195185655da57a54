"""Jobs forked from a preloaded process behave as if started by themselves."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import test_resume as resumable
from earlyphase.runtime import preload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: jobs are never preloaded here")


def processes(*words):
    """Ids of the preloading processes whose command line holds all of `words`, with their folders."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode()
            if all(word in line for word in ("earlyphase.runtime.preload", *words)):
                found[int(path.name)] = (path / "cwd").readlink()
        except OSError:
            continue  # it has just ended, or is another user's
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Environment in which a server of its own is up; it runs the words after `-m earlyphase`."""
    folder = tmp_path_factory.mktemp("sockets")
    environment = os.environ | {"TMPDIR": str(folder)}
    environment.pop("SLURM_JOB_ID", None)
    first = run(["--preload", "fingerprint", "core.masks.density"], environment)
    assert first.returncode == 0
    wait_until(lambda: list(folder.rglob("*.socket")))
    yield environment
    for number in processes(str(folder)):
        os.kill(number, signal.SIGKILL)


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
    return [number for number, place in processes().items() if place == folder]


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


def test_a_forked_training_ends_with_the_bytes_of_one_by_itself(server, tmp_path):
    """Nor does it matter how often progress is saved, or how many others hold locks."""
    data = resumable.make_data(tmp_path / "data.safetensors")
    for name, interval, options in (("plain", 1000, []), ("forked", 0, ["--preload"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "other.resume.lock").write_text("")
        process = resumable.start(
            tmp_path / name, data, interval=interval, options=options, environment=server
        )
        printed = resumable.finish(process)
        assert process.returncode == 0, printed
    assert resumable.result(tmp_path / "forked") == resumable.result(tmp_path / "plain")


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


# What the server is asked to run in place of this package: it tells what it finds itself in.
STUB = """
import json, os, resource, sys, torch
found = {"capability": torch.backends.cpu.get_cpu_capability(), "words": sys.argv[1:], "folder": os.getcwd()}
found |= {"niceness": os.nice(0), "umask": os.umask(0), "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
print(json.dumps(found | {"long": len(os.environ.get("LONG", ""))}))
sys.exit(7)
"""
ASK = """
import sys
from earlyphase.runtime.preload import run_preloaded
sys.path.insert(0, sys.argv[1])
print("status", run_preloaded(sys.argv[2:]))
"""


@pytest.fixture
def ask(tmp_path, server):
    """Ask for the stub; returns what it found (None where it was not run) and its status."""
    package = tmp_path / "stub/earlyphase"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STUB)

    def run(*words, shell="", **variables):
        command = [
            "sh",
            "-c",
            f'{shell} exec "$@"',
            "-",
            sys.executable,
            "-c",
            ASK,
            str(package.parent),
            *words,
        ]
        done = subprocess.run(
            command, env=server | variables, capture_output=True, text=True, timeout=60, cwd=tmp_path
        )
        *found, status = done.stdout.splitlines()
        return json.loads(found[0]) if found else None, status

    return run


def test_a_fork_runs_the_code_that_its_parent_would_run_with_all_that_it_is_told(ask, tmp_path):
    """Not what the server was started from or has imported; and more of it than a socket takes at once."""
    found, status = ask("a b", "x" * 100_000, LONG="é" * 60_000)
    assert status == "status 7"
    assert found["words"] == ["a b", "x" * 100_000] and found["long"] == 60_000
    assert found["folder"] == str(tmp_path)


def test_a_job_that_limits_its_instruction_set_has_a_server_of_its_own(ask, server):
    """torch chooses its kernels when it is imported: before the fork."""
    usual = ask()[0]["capability"]
    assert usual != "DEFAULT"
    found, status = ask(ATEN_CPU_CAPABILITY="default")
    assert (found, status) == (None, "status None")
    wait_until(lambda: len(list(Path(server["TMPDIR"]).rglob("*.socket"))) == 2)
    assert ask(ATEN_CPU_CAPABILITY="default")[0]["capability"] == "DEFAULT"
    assert ask()[0]["capability"] == usual


def test_a_fork_has_the_niceness_the_limits_and_the_umask_of_its_parent(ask, server):
    """Not those of the job that happened to start the server."""
    own = {"niceness": 5, "umask": 0o77, "files": 512}
    before, servers = ask()[0], len(list(Path(server["TMPDIR"]).rglob("*.socket")))
    shell = "umask 077; ulimit -n 512; renice -n 5 $$ >/dev/null;"
    assert ask(shell=shell)[0] is None
    wait_until(lambda: len(list(Path(server["TMPDIR"]).rglob("*.socket"))) > servers)
    assert ask(shell=shell)[0].items() >= own.items()
    assert ask()[0] == before


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """No variable that matters is set; sockets lie in a folder of their own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name in list(os.environ):
        if name.startswith(preload.FIXED_AT_START):
            monkeypatch.delenv(name)
    return tmp_path


VARIABLES = [
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "DNNL_MAX_CPU_ISA",
    "KMP_AFFINITY", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MKL_CBWR", "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "PYTHONPATH", "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
]  # fmt: skip


def test_a_server_is_shared_only_where_variables_that_libraries_read_are_equal(own_folder, monkeypatch):
    address = preload.address()
    monkeypatch.setenv("SNAKEMAKE_JOB", "7")
    assert preload.address() == address
    addresses = [address]
    for name in VARIABLES:
        for value in ("2", "3"):
            monkeypatch.setenv(name, value)
            addresses.append(preload.address())
        monkeypatch.delenv(name)
    assert len(set(addresses)) == 1 + 2 * len(VARIABLES)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which is what a job computes with where it is not set
    assert preload.address() == address


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"])
def test_in_a_batch_job_jobs_start_by_themselves(own_folder, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert preload.run_preloaded(["status"]) is None
    assert not list(own_folder.iterdir())


def test_another_interpreter_torch_or_copy_of_the_package_has_another_server(own_folder, monkeypatch):
    addresses = [preload.address()]
    monkeypatch.setattr(sys, "executable", "/usr/bin/other")
    addresses.append(preload.address())
    monkeypatch.setattr(preload, "version", lambda name: "0")
    addresses.append(preload.address())
    monkeypatch.setattr(preload, "SOURCE", "/elsewhere")
    addresses.append(preload.address())
    assert len(set(addresses)) == 4


def test_a_socket_can_be_bound_however_deep_the_temporary_folder(monkeypatch):
    """And the deepest folder that fits is used."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # pytest's own folders may be too deep already
        monkeypatch.setattr(tempfile, "tempdir", short)
        longest = preload.PATH_LIMIT - len(preload.address()) + len(short)
        for excess in (-1, 0, 1, 60):
            deep = Path(short, "d" * (longest + excess - len(f"{short}/")))
            deep.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(deep))
            path = preload.address()
            assert path.startswith(str(deep)) == (excess <= 0)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
            Path(path).unlink()


def test_a_job_runs_by_itself_where_the_server_ends_before_it_answers(own_folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(preload.address())
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        assert preload.run_preloaded(["status"]) is None
        thread.join()


def test_an_idle_server_ends_and_leaves_no_file(own_folder):
    code = (
        "import sys; from earlyphase.runtime import preload; preload.IDLE = 0.2; preload.serve(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, preload.address()]
    subprocess.run(command, check=True, timeout=60, env=os.environ | {"PYTHONPATH": preload.SOURCE})
    (folder,) = own_folder.iterdir()
    assert list(folder.iterdir()) == []


def test_a_second_server_for_the_same_jobs_ends_at_once(own_folder):
    path = preload.address()
    lock = preload.try_lock(Path(f"{path}.lock"))
    command = [sys.executable, "-m", "earlyphase.runtime.preload", path]
    subprocess.run(command, check=True, timeout=10, env=os.environ | {"PYTHONPATH": preload.SOURCE})
    assert not Path(path).exists()
    os.close(lock)
