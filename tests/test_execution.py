"""The process that computes: its device, threads and processor."""

import os
import tempfile
from pathlib import Path

import pytest
import torch

from assigned import carry_out
from earlyphase.core import steps
from earlyphase.errors import InvalidInput
from earlyphase.runtime import execution
from earlyphase.runtime.execution import Execution, explaining, instructions, prepare, processor_model
from test_first_iterations import folder, spec  # noqa: F401 - `folder` is a fixture

CPU = Execution(torch.device("cpu"), "float32", 1)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Set the number of visible GPUs; locks live in a folder of their own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(execution, "_claimed", [])
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    yield lambda count: monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    for descriptor in execution._claimed:
        os.close(descriptor)


def claims(number):
    return [execution.claim_gpu().index for _ in range(number)]


def test_jobs_spread_evenly_over_the_gpus_of_a_machine(machine):
    machine(4)
    assert claims(4) == [0, 1, 2, 3]
    assert claims(5) == [0, 1, 2, 3, 0]


def test_a_gpu_that_was_given_back_is_taken_next(machine):
    machine(3)
    claims(3)
    os.close(execution._claimed.pop(1))
    assert claims(2) == [1, 0]


def test_a_job_that_sees_one_gpu_leaves_no_lock(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    machine(1)
    assert claims(2) == [0, 0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "FLUX_JOB_ID"])
def test_jobs_of_different_batch_jobs_share_no_numbers_of_gpus(machine, monkeypatch, variable):
    machine(2)
    claims(1)  # by none, whose numbers mean other devices
    for number in ("7", "8"):
        monkeypatch.setenv(variable, number)
        assert claims(2) == [0, 1]


def test_without_a_usable_temporary_folder_a_gpu_is_taken_all_the_same(machine, tmp_path):
    machine(4)
    (tmp_path / f"earlyphase-{os.getuid()}").write_text("")  # in the place of the folder of locks
    assert claims(2) == [os.getpid() % 4] * 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="A GPU IS HERE: auto takes it")
def test_auto_computes_on_the_cpu_where_torch_sees_no_gpu_and_says_so(capsys):
    assert prepare("auto", "float32").device.type == "cpu"
    assert "note: device auto: torch sees no CUDA device" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match=r"'cuda' was asked for.*use 'cpu' or 'auto'"):
        prepare("cuda", "float32")


@pytest.mark.parametrize(("text", "threads"), [(None, 1), ("1", 1), ("2", 2)])
def test_a_job_computes_with_the_threads_it_was_granted(monkeypatch, text, threads):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    if text:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert prepare("cpu", "float32").threads == threads == torch.get_num_threads()
    torch.set_num_threads(before)


@pytest.mark.parametrize("text", ["", "0", "-1", "4,2", "many"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.raises(InvalidInput, match=f"OMP_NUM_THREADS is '{text}'"):
        prepare("cpu", "float32")


def test_the_columns_of_tables_are_these():
    assert CPU.record() == {"device": "cpu", "precision": "float32", "threads": 1}
    assert CPU.columns() == CPU.record() | {"instructions": instructions()}


def test_the_instruction_set_is_named_with_the_limit_of_onednn(monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    assert instructions() == torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "SSE41")  # the older of the two names
    assert instructions() == "AVX512, oneDNN limited to SSE41"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert CPU.machine()["instructions"] == "AVX512, oneDNN limited to AVX2"


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel\t\t: 1\nmodel name\t: A B: C\nmodel name\t: D\n", "A B: C"),
        ("processor\t: 0\nCPU part\t: 0xd0c\n", None),
        (None, None),
    ],
)
def test_the_model_of_the_processor_is_named_where_it_is_known(tmp_path, monkeypatch, text, model):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor_model(tmp_path / "cpuinfo") == model
    monkeypatch.setattr(execution, "processor_model", lambda: model)
    assert CPU.machine().get("processor", None) == model


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU at {device}")
    assert "gpu" not in CPU.machine()
    on_gpu = Execution(torch.device("cuda:1"), "float32", 1)
    assert on_gpu.machine()["gpu"] == "the GPU at cuda:1"


# Memory that is exhausted, GPUs that fail

GPU = torch.device("cuda:0")


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        (
            GPU,
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            r"cuda:0 has no memory left .*gpu=1",
        ),
        (
            GPU,
            RuntimeError(
                "CUDA error: unspecified launch failure\nmore"
            ),  # from torch 2.8 on a subclass of it
            r"cuda:0 failed .*nvidia-smi",
        ),
        (GPU, RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "cuda:0 failed"),
        (CPU.device, MemoryError(), "no main memory is left"),
        (GPU, MemoryError(), "no main memory is left"),
    ],
)
def test_a_failing_device_is_explained_in_one_sentence(device, error, message):
    with pytest.raises(InvalidInput, match=message) as caught, explaining(device):
        raise error
    assert "\n" not in str(caught.value) and "the same command goes on" in str(caught.value)


def test_other_errors_are_left_as_they_are(monkeypatch):
    monkeypatch.delattr(torch, "AcceleratorError", raising=False)  # torch 2.6 and 2.7 have none
    for error in (RuntimeError("size mismatch"), KeyError("x")):
        with pytest.raises(type(error)) as caught, explaining(GPU):
            raise error
        assert caught.value is error


def test_a_job_without_memory_goes_on_to_the_same_bytes(folder, monkeypatch, capsys):  # noqa: F811
    def dense(name):
        outputs = {"trajectory": f"{name}.trajectory", "metrics": f"{name}.csv", "run": f"{name}.json"}
        saved = "--resume", f"{name}.resume", "--resume-interval", "0"
        return carry_out("dense", spec(), {"data": "data"}, outputs, *saved, "--keep", "0")

    assert dense("undisturbed") == 0
    take, taken = steps.F.cross_entropy, 0

    def fifth_asks_for_too_much(*arguments, **options):
        nonlocal taken
        taken += 1
        if taken == 5:
            torch.empty(1 << 60, dtype=torch.uint8)
        return take(*arguments, **options)

    monkeypatch.setattr(steps.F, "cross_entropy", fifth_asks_for_too_much)
    assert dense("disturbed") == 1
    assert "no main memory is left" in capsys.readouterr().err
    assert Path("disturbed.resume").exists() and not Path("disturbed.json").exists()
    assert dense("disturbed") == 0
    assert "resuming at iteration" in capsys.readouterr().out
    assert Path("disturbed.trajectory").read_bytes() == Path("undisturbed.trajectory").read_bytes()
    assert Path("disturbed.csv").read_bytes() == Path("undisturbed.csv").read_bytes()
