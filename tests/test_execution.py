"""Which GPU a job takes: counted by Snakemake, chosen here."""

import os

import pytest
import torch

from earlyphase.runtime import execution


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Set the number of visible GPUs; locks live in a folder of their own."""
    monkeypatch.setattr(execution, "gettempdir", lambda: str(tmp_path))
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


def test_an_allocation_of_several_gpus_is_shared_out_too(machine, monkeypatch):
    machine(2)
    claims(1)  # by another allocation, whose numbers mean other devices
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert claims(2) == [0, 1]


def test_a_job_that_sees_one_gpu_leaves_no_lock(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    machine(1)
    assert claims(2) == [0, 0]
    assert not list(tmp_path.iterdir())
