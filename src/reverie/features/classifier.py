"""Small convolutional classifiers of the built-in data sets: their last layer as features, their classes as labels."""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ReverieError, unknown
from ..files import fill
from .base import Extractor, read_weights, signed

WEIGHTS = Path(__file__).with_name("weights")


class Network(nn.Module):
    """Pairs of 3x3 convolutions with ReLU, each pair at half the resolution of the one before; then a mean over pixels.

    While it is trained (`norm=True`) every convolution has a batch norm, which `folded` multiplies into its weights.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], classes: int, norm: bool = False) -> None:
        super().__init__()
        sizes = [channels, *(width for width in widths for _ in range(2))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=not norm) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) if norm else nn.Identity() for b in sizes[1:])
        self.head = nn.Linear(sizes[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, widths[-1])."""
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = F.max_pool2d(x, 2) if i and i % 2 == 0 else x
            x = F.relu(norm(conv(x)))
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def folded(self) -> dict[str, Tensor]:
        """The tensors of the same function without norms: w gamma / std, and beta - mean gamma / std as the bias."""
        tensors = {f"head.{name}": tensor.detach() for name, tensor in self.head.state_dict().items()}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
            assert norm.running_var is not None
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            tensors[f"convs.{i}.weight"] = (conv.weight * gain[:, None, None, None]).detach()
            tensors[f"convs.{i}.bias"] = (norm.bias - norm.running_mean * gain).detach()
        return tensors

    @classmethod
    def of(cls, tensors: dict[str, Tensor], source: str) -> "Network":
        """The network that a file of tensors describes by its names and shapes."""
        convs = [tensors[f"convs.{i}.weight"] for i in range(len(tensors)) if f"convs.{i}.weight" in tensors]
        if not convs or len(convs) % 2 or "head.weight" not in tensors or any(c.ndim != 4 for c in convs):
            raise ReverieError(f"{source} does not hold a classifier")
        network = cls(convs[0].shape[1], tuple(len(c) for c in convs[1::2]), len(tensors["head.weight"]))
        fill(network, tensors, source)
        return network


class Classifier(Extractor):
    """A classifier of one built-in data set, with weights that ship with the package; see `weights/README.md`."""

    SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28)}  # noqa: RUF012

    def __init__(self, data: str = "digits", path: Path | None = None) -> None:
        super().__init__()
        if path is None and data not in self.SHAPES:
            raise unknown("classifier", data, self.SHAPES, "Others are trained by the recipe `classifier`.")
        self.data = data
        tensors, self._hash = read_weights(path or WEIGHTS / f"{data}.safetensors")
        network = Network.of(tensors, f"the classifier of {data}")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        return f"classifier({self.data})"

    @property
    def dim(self) -> int:
        return self.network.head.in_features

    @property
    def classes(self) -> int:
        return self.network.head.out_features

    @property
    def hash(self) -> str:
        return self._hash

    @classmethod
    def claims(cls, shape: tuple[int, ...], dataset: str | None = None) -> int:
        return 3 if dataset in cls.SHAPES and cls.SHAPES[dataset] == tuple(shape) else 0

    @classmethod
    def build(cls, shape: tuple[int, ...], dataset: str | None = None) -> "Classifier":
        if not cls.claims(shape, dataset):
            known = ", ".join(f"{name} {size}" for name, size in cls.SHAPES.items())
            raise ReverieError(
                f"there is no classifier for samples {tuple(shape)} of {dataset or 'this data'}; for {known} there is"
            )
        return cls(str(dataset))

    def forward(self, raw: Tensor) -> Tensor:
        return self.network.features(signed(raw))

    def logits(self, raw: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        return self.network(signed(raw))

    @torch.no_grad()
    def labels(self, raw: Tensor, batch: int = 64) -> Tensor:
        """The most likely class of each of N samples (N,)."""
        return torch.cat([self.logits(part).argmax(1) for part in raw.split(batch)])
