"""Precision means what its name says; flags can be checked without a GPU, effects on one where there is one."""

import pytest
import torch

from earlyphase.core import precision
from earlyphase.errors import InvalidInput

NO_GPU = "NO GPU ON THIS MACHINE: what TF32 does to a result is untested"


def flags():
    """TF32 in convolutions, TF32 in matrix products, choice of kernels by speed, deterministic kernels only."""
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic


@pytest.fixture(autouse=True)
def as_before():
    before = flags()
    yield
    cudnn = torch.backends.cudnn
    cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.parametrize("first", precision.PRECISIONS)
@pytest.mark.parametrize(("name", "tf32"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_only_tf32_allows_tf32_and_no_precision_a_kernel_chosen_at_random(first, name, tf32):
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    precision.use_precision(first)
    precision.use_precision(name)
    assert flags() == (tf32, tf32, False, True)


@pytest.mark.parametrize("name", ["float16", "TF32", ""])
def test_an_unknown_precision_is_refused_and_changes_nothing(name):
    before = flags()
    with pytest.raises(
        InvalidInput, match=f"precision is '{name}'; it must be one of float32, tf32, bfloat16"
    ):
        precision.use_precision(name)
    assert flags() == before


def test_torch_accepts_the_flags_without_a_warning():
    """Its two interfaces to TF32 cannot be mixed: reading one raises after the other was used."""
    for name in precision.PRECISIONS:
        precision.use_precision(name)
        with precision.full_precision():
            assert not flags()[0] and not flags()[1]
        torch.get_float32_matmul_precision()


@pytest.mark.parametrize("name", precision.PRECISIONS)
def test_full_precision_holds_inside_its_context_alone(name):
    precision.use_precision(name)
    before = flags()
    with precision.full_precision():
        assert flags() == (False, False, False, True)
        assert torch.backends.cudnn.enabled
    assert flags() == before
    with pytest.raises(ZeroDivisionError), precision.full_precision():
        _ = 1 / 0
    assert flags() == before


@pytest.mark.parametrize(
    ("name", "computed"), [("float32", "float32"), ("tf32", "float32"), ("bfloat16", "bfloat16")]
)
def test_a_forward_pass_computes_in_its_precision_and_keeps_float32_weights(name, computed):
    layer = torch.nn.Linear(3, 2)
    with precision.autocast(name, "cpu"):
        output = layer(torch.ones(1, 3))
    assert output.dtype == getattr(torch, computed)
    output.float().sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize(
    "operation", [torch.nn.functional.conv2d, lambda x, w: x.flatten(1) @ w.flatten(1).T]
)
def test_float32_on_a_gpu_is_as_exact_as_float32(operation):
    """Against float64: relative error near 2^-24 in float32, near 2^-11 in TF32."""
    torch.manual_seed(0)
    x, w = torch.randn(64, 64, 3, 3, device="cuda"), torch.randn(32, 64, 3, 3, device="cuda")
    exact = operation(x.double(), w.double())
    errors = {}
    for name in ("float32", "tf32"):
        precision.use_precision(name)
        errors[name] = ((operation(x, w) - exact).norm() / exact.norm()).item()
    assert errors["float32"] < 1e-6
    if torch.cuda.get_device_capability() >= (8, 0):
        assert errors["tf32"] > 1e-5
