"""Ways to run a trained network: PyTorch, products with sparse matrices, and ONNX."""

import copy
import io
import warnings
from collections.abc import Callable
from importlib import import_module

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from earlyphase.core.networks.resnet import Pointwise
from earlyphase.errors import InvalidInput

Forward = Callable[[torch.Tensor], torch.Tensor | np.ndarray]  # images (B, C, H, W) -> logits (B, classes)
Product = Callable[[torch.Tensor], torch.Tensor]  # (inputs, N) -> (outputs, N), by the matrix of a layer
INPUT, OUTPUT = "images", "logits"


def scipy_product(matrix: torch.Tensor) -> Product:
    """Multiply by a matrix, (outputs, inputs), that scipy.sparse keeps in compressed rows."""
    rows = sparse.csr_matrix(matrix.numpy())
    return lambda columns: torch.from_numpy(rows @ columns.numpy())


def torch_product(matrix: torch.Tensor) -> Product:
    """Multiply by a matrix, (outputs, inputs), that torch keeps in compressed rows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        rows = matrix.to_sparse_csr()
    return lambda columns: rows @ columns


class SparseLayer(nn.Module):
    """A linear layer, or a convolution of the unrolled image, as a product with a sparse matrix."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, product: Callable[[torch.Tensor], Product]) -> None:
        super().__init__()
        self.layer, self.product = layer, product(layer.weight.detach().flatten(1))
        self.step = layer.step if isinstance(layer, Pointwise) else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs) -> (B, outputs), or (B, C_in, H, W) -> (B, C_out, H', W')."""
        layer = self.layer
        if isinstance(layer, nn.Linear):
            out = self.product(x.T.contiguous()).T
            return out if layer.bias is None else out + layer.bias
        x = x[:, :, :: self.step, :: self.step]
        assert not isinstance(layer.padding, str)  # `can_be_unrolled` says so
        window = layer.kernel_size, layer.dilation, layer.padding, layer.stride
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, dilation, padding, stride in zip(x.shape[2:], *window, strict=True)
        )
        columns = F.unfold(x, *window).transpose(0, 1).flatten(1).contiguous()  # (inputs, B * pixels)
        out = self.product(columns).view(-1, len(x), height, width).transpose(0, 1)
        return out if layer.bias is None else out + layer.bias.view(-1, 1, 1)


def with_sparse_layers(model: nn.Module, product: Callable[[torch.Tensor], Product]) -> nn.Module:
    """A copy in eval mode whose linear layers and convolutions are products with sparse matrices.

    A convolution in groups, or with another padding than numbers of zeros, stays as it is.
    """
    changed = copy.deepcopy(model).eval()
    for name, layer in list(changed.named_modules()):
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and can_be_unrolled(layer)):
            parent, _, child = name.rpartition(".")
            setattr(changed.get_submodule(parent), child, SparseLayer(layer, product))
    return changed


def can_be_unrolled(layer: nn.Conv2d) -> bool:
    """Whether a convolution is one product with the unrolled image."""
    return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def onnx_file(model: nn.Module, images: torch.Tensor) -> bytes:
    """The network in eval mode as an ONNX file, for any number of images of the size of `images`.

    Inputs are normalised images, as in training. PyTorch's older exporter makes it: the newer takes ten times
    as long, and one more package.

    Raises:
        InvalidInput: the package onnx is not installed.
    """
    content = io.BytesIO()
    check_installed("onnx")  # torch says it late, and in other words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            copy.deepcopy(model).eval(), (images,), content,  # type: ignore[arg-type]  # torch types the newer alone
            dynamo=False,
            input_names=[INPUT], output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )  # fmt: skip
    return content.getvalue()


def onnx_session(content: bytes) -> Forward:
    """Run an ONNX file with ONNX Runtime, on one thread of the processor.

    Raises:
        InvalidInput: the package onnxruntime is not installed.
    """
    check_installed("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images.numpy()})[0]


def check_installed(package: str) -> None:
    """Raise `InvalidInput` unless a package of the extra `inference` can be imported."""
    try:
        import_module(package)
    except ImportError:
        raise InvalidInput(
            f"the package {package} is not installed: pip install 'earlyphase[inference]'"
        ) from None


def deviation(forward: Forward, model: nn.Module, images: torch.Tensor) -> float:
    """Largest difference of a runtime's outputs from torch's, relative to the largest of these, or to 1."""
    with torch.inference_mode():
        expected = model.eval()(images).numpy()
        outputs = np.asarray(forward(images))
    return float(np.abs(outputs - expected).max() / max(1, np.abs(expected).max()))


RUNTIMES = {  # name -> network to the way to run it, in eval mode and on the processor
    "torch": lambda model: copy.deepcopy(model).eval(),
    "torch_csr": lambda model: with_sparse_layers(model, torch_product),
    "scipy": lambda model: with_sparse_layers(model, scipy_product),
}
