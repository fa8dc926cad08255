"""PyTorch, and what is written for it: torchvision, timm, PyTorch Geometric, dropblock."""

from __future__ import annotations

from types import MappingProxyType

from ...streams import TorchCPU
from .cases import BETWEEN_LAYERS, EDGES, drop_block_on_maps
from .row import LibraryRow

MULTIPLIES = MappingProxyType(
    {
        "nonfinite": "a CPU kernel multiplies by the mask (pytorch#59421)",
        "nonfinite gradient": "a CPU kernel multiplies by the mask",
        "signed zero": "a CPU kernel multiplies by the mask",
        "layout": "masks follow the order of memory",
        "half precision": "the scale is rounded to the dtype first",
    }
)

COUNT = MappingProxyType({"scale": "a small number is added to the count of what is kept, against division by zero"})

RECURRENT = """
import functools

def stacked(size, p):
    rnn = torch.nn.RNN(size, size, 2, nonlinearity="relu", bias=False, batch_first=True, dropout=p)
    with torch.no_grad():
        for name, weight in rnn.named_parameters():
            weight.copy_(torch.eye(size) if "_ih_" in name else torch.zeros(size, size))
    return rnn

def between_layers(x, p, training):
    return stacked(x.shape[1], p).to(x.dtype).train(training)(x[:, None])[0][:, 0]

@functools.cache
def exported(shape, p):
    x = torch.ones(shape[0], 1, shape[1])
    return torch.export.export(stacked(shape[1], p).train(), (x,)).run_decompositions().module()
"""

ATTENTION = """
class Attention(torch.nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=self.p)
"""


def torch_row(operation: str, like: str, expression: str, **more: object) -> LibraryRow:
    """A row with PyTorch's documented ways, and its generator as a stream."""
    settings: dict[str, object] = {"stream": TorchCPU, "documented": MULTIPLIES, **more}
    return LibraryRow("torch", operation, like, expression, **settings)  # type: ignore[arg-type]


TORCH = (
    torch_row("functional.dropout", "dropout", "torch.nn.functional.dropout(x, p, training)"),
    torch_row("nn.Dropout", "dropout", "torch.nn.Dropout(p).train(training)(x)"),
    torch_row("nn.Dropout1d", "dropout1d", "torch.nn.Dropout1d(p).train(training)(x)"),
    torch_row("nn.Dropout2d", "dropout2d", "torch.nn.Dropout2d(p).train(training)(x)"),
    torch_row("nn.Dropout3d", "dropout3d", "torch.nn.Dropout3d(p).train(training)(x)"),
    torch_row("nn.AlphaDropout", "alpha_dropout", "torch.nn.AlphaDropout(p).train(training)(x)"),
    torch_row("nn.FeatureAlphaDropout", "feature_alpha_dropout", "torch.nn.FeatureAlphaDropout(p).train(training)(x)"),
    torch_row("native_dropout", "dropout", "torch.native_dropout(x, p, training)"),
    torch_row("_refs.dropout", "dropout", "torch._refs.nn.functional.dropout(x, p, training)", stream=None),
    torch_row(
        "_refs.alpha_dropout",
        "alpha_dropout",
        "torch._refs.nn.functional.alpha_dropout(x, p, training)",
        setup="import torch._refs.nn.functional\n",
        stream=None,
    ),
    torch_row(
        "functional.scaled_dot_product_attention",
        "scaled_dot_product_attention",
        "Attention(p).train(training)(x, x2, x3)",
        setup=ATTENTION,
    ),
    LibraryRow(
        "torch",
        "nn.RNN between layers",
        BETWEEN_LAYERS,
        "between_layers(x, p, training)",
        RECURRENT,
        documented=MULTIPLIES,
    ),
    LibraryRow(
        "torch",
        "nn.RNN, exported in training",
        BETWEEN_LAYERS,
        "exported(tuple(x.shape), p)(x[:, None])[0][:, 0]",
        RECURRENT,
        only=("runs", "rate", "p = 1"),
        rates=(0.5, 1.0),
    ),
)

TORCHVISION = (
    LibraryRow(
        "torchvision",
        "ops.drop_block2d, blocks of 3",
        drop_block_on_maps(3, 8),
        "torchvision.ops.drop_block2d(x, p, 3, training=training)",
        "import torchvision\n",
        documented=COUNT,
    ),
    LibraryRow(
        "torchvision",
        "ops.drop_block2d, blocks of 4",
        drop_block_on_maps(4, 8),
        "torchvision.ops.drop_block2d(x, p, 4, training=training)",
        "import torchvision\n",
        only=("runs",),
    ),
    LibraryRow(
        "torchvision",
        "ops.stochastic_depth, rows",
        "drop_path",
        'torchvision.ops.stochastic_depth(x, p, "row", training)',
        "import torchvision\n",
    ),
)

TIMM = (
    LibraryRow(
        "timm",
        "layers.DropPath",
        "drop_path",
        "timm.layers.DropPath(p).train(training)(x)",
        "import timm.layers\n",
    ),
    LibraryRow(
        "timm",
        "layers.DropBlock2d, maps of 7",
        drop_block_on_maps(7, 7),
        "timm.layers.DropBlock2d(p, couple_channels=False).train(training)(x)",
        "import timm.layers\n",
        documented=COUNT,
    ),
    LibraryRow(
        "timm",
        "layers.DropBlock2d, channels",
        drop_block_on_maps(3, 8, gamma_scale=0.05),
        "timm.layers.DropBlock2d(p, 3, gamma_scale=0.05).train(training)(x)",
        "import timm.layers\n",
        documented=COUNT,
    ),
)

GEOMETRIC = (
    LibraryRow(
        "torch_geometric",
        "utils.dropout_edge, undirected",
        EDGES,
        "loops(x, p, training)",
        """
from torch_geometric.utils import dropout_edge

def loops(x, p, training):
    nodes = torch.arange(x.numel())
    kept, _ = dropout_edge(torch.stack([nodes, nodes]), p, force_undirected=True, training=training)
    return x * torch.bincount(kept[0], minlength=x.numel()).reshape(x.shape).to(x.dtype)
""",
        distribution="torch-geometric",
        only=("runs", "shape", "scale", "values", "p = 0", "p = 1", "evaluation", "rate errors", "seeds", "rate"),
    ),
)

DROPBLOCK = (
    LibraryRow(
        "dropblock",
        "DropBlock2D",
        drop_block_on_maps(3, 8),
        "dropblock.DropBlock2D(p, 3).train(training)(x)",
        "import dropblock\n",
    ),
)

ROWS = (*TORCH, *TORCHVISION, *TIMM, *GEOMETRIC, *DROPBLOCK)
