"""What the released data set looks like: folders of images, and the set-ups that they make.

Names of folders and lists, counts and the order of classes are those of the public release of Yang
et al. 2022 (scripts `generate_data_multiple_cross.py` and `generate_data_in_the_wild.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

CLASSES = ("Real", "ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN")
WILD_CLASSES = (
    "Real", "ProGAN_128", "MMDGAN_128", "SNGAN_128", "InfoMaxGAN_128", "StackGAN2_256",
    "ProGAN_256", "CycleGAN_256", "StyleGAN2_256", "StyleGAN_1024", "StyleGAN2_1024",
)  # fmt: skip
CLOSED = "closed_set"
SPLITS = ("train", "val", "test")
OBJECTS = (
    "cat airplane boat horse sofa cow dog train bicycle bottle diningtable motorbike sheep "
    "tvmonitor bird bus chair person pottedplant car"
).split()
CONTENTS = {"celeba": "celeba_align_png_cropped", "lsun": "lsun_bedroom_200k_png"}
REAL = {"celeba": "real/celeba/celeba_align_png_cropped", "lsun": "real/lsun/bedroom"}
FINE_TUNED = {"celeba": "ft_old_crop", "lsun": "ft_sofa_crop"}
GANS = ("ProGAN", "MMDGAN", "SNGAN", "InfoMax-GAN")  # as folders are called


@dataclass(frozen=True)
class Source:
    """A folder of images of one class."""

    folder: str  # as seen from the root of the tree
    label: int  # number of its class
    side: int  # of an image, in pixels
    wanted: int  # images that the set-up takes, at most


@dataclass(frozen=True)
class SetUp:
    """What is trained on and tested, or tested alone."""

    mode: str  # "celeba", "lsun" or "in_the_wild"
    name: str  # CLOSED, which has all three splits, or "cross_seed", ...: a test list
    classes: tuple[str, ...]
    sources: tuple[Source, ...]

    def file(self, split: str = "test") -> str:
        """Name the list of a split, as seen from the folder that holds all lists."""
        end = "" if self.name == CLOSED else f"_{self.name}"
        return f"{self.mode}_{split}/annotations/{self.mode}_{split}{end}.txt"

    @property
    def files(self) -> list[str]:
        """Name its lists."""
        return [self.file(split) for split in (SPLITS if self.name == CLOSED else ("test",))]


def progan(content: str, seed: int) -> str:
    """Name the folder of one seed of ProGAN."""
    return f"GANs/ProGAN/multiseed_{content}/{CONTENTS[content]}_seed_v{seed}"


def five_classes(content: str) -> list[str]:
    """Name the folders of the closed set on a content, in the order of the classes."""
    others = [f"GANs/{name}/{CONTENTS[content]}" for name in GANS[1:]]
    return [REAL[content], progan(content, 0), *others]


def _sources(folders: Sequence[str], labels: Sequence[int], wanted: int) -> tuple[Source, ...]:
    return tuple(Source(f, k, 128, wanted) for f, k in zip(folders, labels, strict=True))


def _paper(mode: str, other: str) -> list[SetUp]:
    """The five set-ups of one content: 20,000 images of each training folder, else 2,000."""
    losses = [f"GANs/{name}/{CONTENTS[mode]}" for name in ("CramerGAN", "SSGAN")]
    sources = {
        CLOSED: _sources(five_classes(mode), range(5), 20_000),
        "cross_seed": _sources([progan(mode, k) for k in range(1, 10)], [1] * 9, 2_000),
        "cross_loss": _sources(losses, [2, 4], 2_000),
        "cross_finetune": _sources(
            [f"GANs/{name}/{FINE_TUNED[mode]}" for name in GANS], [1, 2, 3, 4], 2_000
        ),
        "cross_dataset": _sources(five_classes(other), range(5), 2_000),
    }
    return [SetUp(mode, name, CLASSES, found) for name, found in sources.items()]


def _wild() -> list[SetUp]:
    """Eleven classes: 5,000 images of each folder trained on, 500 of each unseen content."""
    detect = "GANs/CNNDetect/train"
    styles = "ffhq celebahq race_yellow seeprettyface_models seeprettyface_asian_stars age_kids " \
        "glasses age_elders age_adults male female smile"  # fmt: skip
    styles_2 = "stylegan2-ffhq-config-f generated_yellow-stylegan2 generated_wanghong-stylegan2 " \
        "generated_asian_stars-stylegan2 generated_babies-stylegan2"  # fmt: skip
    small = zip(five_classes("celeba"), five_classes("lsun"), strict=True)
    real = [
        *((REAL[c], 128) for c in CONTENTS), *((f"{detect}/{c}/0_real", 256) for c in OBJECTS),
        ("real/Flickr-Faces-HQ_10K", 1024), ("real/celebA-HQ_10K", 1024),
    ]  # fmt: skip
    folders: list[tuple[list[tuple[str, int]], set[int]]] = [  # of a class; which it learns from
        (real, {0, 2, 3, 22}),
        *(([(folder, 128) for folder in pair], {0}) for pair in list(small)[1:]),
        (_each("GANs/StackGAN2", "cat church bird bedroom dog", 256), {0, 1}),
        ([(f"{detect}/{content}/1_fake", 256) for content in OBJECTS], {0, 1}),
        (_each("GANs/cyclegan", "winter orange apple horse summer zebra", 256), {0, 1}),
        (_each("GANs/styleGAN2", "cat church horse", 256), {0, 1}),
        (_each("GANs/styleGAN", styles, 1024), {0}),
        (_each("GANs/styleGAN2", styles_2, 1024), {0}),
    ]
    closed: list[Source] = []
    cross: list[Source] = []
    for label, (members, trained) in enumerate(folders):
        for number, (folder, side) in enumerate(members):
            own = number in trained
            source = Source(folder, label, side, 5_000 if own else 500)
            (closed if own else cross).append(source)
    return [
        SetUp("in_the_wild", name, WILD_CLASSES, tuple(sources))
        for name, sources in ((CLOSED, closed), ("cross_dataset", cross))
    ]


def _each(folder: str, names: str, side: int) -> list[tuple[str, int]]:
    return [(f"{folder}/{name}", side) for name in names.split()]


SETUPS = (*_paper("celeba", "lsun"), *_paper("lsun", "celeba"), *_wild())
MODES = ("celeba", "lsun", "in_the_wild")
FOLDERS = {source.folder: source.side for setup in SETUPS for source in setup.sources}
