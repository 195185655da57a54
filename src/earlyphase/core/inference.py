"""Ways to run a trained network: PyTorch, ONNX Runtime, and products with sparse matrices."""

import copy
import io
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from earlyphase.core.networks.resnet import Pointwise
from earlyphase.errors import InvalidInput

Forward = Callable[[torch.Tensor], torch.Tensor | np.ndarray]  # images (B, C, H, W) -> logits (B, classes)
Product = Callable[[torch.Tensor], torch.Tensor]  # (inputs, N) -> (outputs, N), by the matrix of a layer
EXTRA = "pip install 'earlyphase[inference]'"
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


class SparseLinear(nn.Module):
    """A linear layer as a product with a sparse matrix."""

    def __init__(self, layer: nn.Linear, product: Callable[[torch.Tensor], Product]) -> None:
        super().__init__()
        self.product, self.bias = product(layer.weight.detach()), layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs) -> (B, outputs)."""
        out = self.product(x.T.contiguous()).T
        return out if self.bias is None else out + self.bias


class SparseConvolution(nn.Module):
    """A convolution as a product of a sparse matrix with the unrolled image."""

    def __init__(self, layer: nn.Conv2d, product: Callable[[torch.Tensor], Product]) -> None:
        super().__init__()
        self.product, self.bias = product(layer.weight.detach().flatten(1)), layer.bias
        self.step = layer.step if isinstance(layer, Pointwise) else 1
        assert not isinstance(layer.padding, str)  # `can_be_unrolled` says so
        self.window: dict[str, tuple[int, ...]] = {
            "kernel_size": layer.kernel_size, "dilation": layer.dilation, "padding": layer.padding,
            "stride": layer.stride,
        }  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W')."""
        x = x[:, :, :: self.step, :: self.step]
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, dilation, padding, stride in zip(
                x.shape[2:], *self.window.values(), strict=True
            )
        )
        columns = F.unfold(x, **self.window).transpose(0, 1).flatten(1).contiguous()  # (inputs, B * pixels)
        out = self.product(columns).view(-1, len(x), height, width).transpose(0, 1)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1)


def with_sparse_layers(model: nn.Module, product: Callable[[torch.Tensor], Product]) -> nn.Module:
    """A copy in eval mode whose linear layers and convolutions are products with sparse matrices.

    A convolution in groups, or with another padding than numbers of zeros, stays as it is.
    """
    changed = copy.deepcopy(model).eval()
    for name, layer in list(changed.named_modules()):
        parent, _, child = name.rpartition(".")
        if isinstance(layer, nn.Linear):
            setattr(changed.get_submodule(parent), child, SparseLinear(layer, product))
        elif isinstance(layer, nn.Conv2d) and can_be_unrolled(layer):
            setattr(changed.get_submodule(parent), child, SparseConvolution(layer, product))
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
    try:
        import onnx  # noqa: F401 - a clear word where it is absent; torch says it late
    except ImportError:
        raise InvalidInput(f"the package onnx is not installed: {EXTRA}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            copy.deepcopy(model).eval(), (images,), content,  # type: ignore[arg-type]  # torch types the newer alone
            dynamo=False,
            input_names=[INPUT], output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )  # fmt: skip
    return content.getvalue()


def with_sparse_initialisers(content: bytes) -> bytes:
    """An ONNX file whose matrices and kernels with zeros in them are stored as positions and values."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    dense = list(model.graph.initializer)
    del model.graph.initializer[:]
    for tensor in dense:
        values = numpy_helper.to_array(tensor)
        positions = np.flatnonzero(values)
        if values.ndim < 2 or len(positions) in (0, values.size):
            model.graph.initializer.append(tensor)
            continue
        kept = numpy_helper.from_array(values.ravel()[positions], tensor.name)
        indices = numpy_helper.from_array(positions.astype(np.int64), f"{tensor.name}_positions")
        model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(kept, indices, values.shape))
    return model.SerializeToString()


def onnx_session(content: bytes) -> Forward:
    """Run an ONNX file with ONNX Runtime, on one thread of the processor.

    Raises:
        InvalidInput: the package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InvalidInput(f"the package onnxruntime is not installed: {EXTRA}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images.numpy()})[0]


RUNTIMES = {  # name -> (network in eval mode, example images) -> way to run it
    "torch": lambda model, images: copy.deepcopy(model).eval(),
    "torch_csr": lambda model, images: with_sparse_layers(model, torch_product),
    "scipy": lambda model, images: with_sparse_layers(model, scipy_product),
    "onnxruntime": lambda model, images: onnx_session(onnx_file(model, images)),
    "onnxruntime_sparse": lambda model, images: onnx_session(
        with_sparse_initialisers(onnx_file(model, images))
    ),
}
SPARSE = ("torch_csr", "scipy")  # those that leave the multiply-adds of pruned weights out


def deviation(forward: Forward, model: nn.Module, images: torch.Tensor) -> float:
    """Largest difference of a runtime's outputs from torch's, relative to the largest of these, or to 1."""
    with torch.inference_mode():
        expected = model.eval()(images).numpy()
        found = np.asarray(forward(images))
    return float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))
