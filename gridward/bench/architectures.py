"""Architectures that are measured, as ordinary torch modules; weights are drawn as He et al. 2015 do."""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

Row = tuple[int, ...]

VGG16: Final = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions of VGG-16; 0 is a pool."""


def mlp() -> tuple[nn.Module, Row]:
    """784-128-128-10 with ReLU (the network of Mohassel & Zhang 2017): 118,282 parameters."""
    return nn.Sequential(*_layers(784, 128, 128, 10)), (784,)


def lenet() -> tuple[nn.Module, Row]:
    """LeNet-5 as secure inference measures it, 20 and 50 channels, 500 hidden: 431,080 parameters."""
    features = (
        *(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
    )
    return nn.Sequential(*features, nn.Flatten(), *_layers(800, 500, 10)), (1, 28, 28)


def vgg16() -> tuple[nn.Module, Row]:
    """VGG-16 (Simonyan & Zisserman 2015) for 32 x 32 images, head 512-512-512-10: 15,245,130 parameters."""
    features: list[nn.Module] = []
    channels = 3
    for wanted in VGG16:
        if wanted:
            features += [nn.Conv2d(channels, wanted, 3, padding=1), nn.ReLU()]
            channels = wanted
        else:
            features.append(nn.MaxPool2d(2))
    module = nn.Sequential(*features, nn.Flatten(), *_layers(512, 512, 512, 10))
    return _drawn(module), (3, 32, 32)


def alexnet() -> tuple[nn.Module, Row]:
    """AlexNet (Krizhevsky 2014, one column) for 224 x 224 images: 61,100,840 parameters."""
    features = (
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    head = (nn.Flatten(), nn.Dropout(), *_layers(9216, 4096, 4096, 1000))
    return _drawn(nn.Sequential(*features, *head)), (3, 224, 224)


def resnet18() -> tuple[nn.Module, Row]:
    """ResNet-18 (He et al. 2016) for 32 x 32 images: 3 x 3 stem, no pool; 11,173,962 parameters."""
    stem = nn.Sequential(*_normed(3, 64, 3), nn.ReLU())
    row = (3, 32, 32)
    return settled(ResNet(stem, Basic, (2, 2, 2, 2), 10), row, rows=16), row


def resnet50() -> tuple[nn.Module, Row]:
    """ResNet-50 (He et al. 2016) for 224 x 224 images and 1000 classes: 25,557,032 parameters."""
    stem = nn.Sequential(*_normed(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    row = (3, 224, 224)
    return settled(ResNet(stem, Bottleneck, (3, 4, 6, 3), 1000), row, rows=2), row


def transformer() -> tuple[nn.Module, Row]:
    """Torch's encoder layer (Vaswani et al. 2017), width 64, 4 heads, 16 places, GELU over 256: 49,984."""
    layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, activation="gelu", batch_first=True)
    return layer.eval(), (16, 64)


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    spread: Final = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normed(channels, width, 3, stride), nn.ReLU(), *_normed(width, width, 3)
        )
        self.shortcut = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Give the sum behind a ReLU."""
        return torch.relu(self.layers(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut; four times as many channels leave."""

    spread: Final = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        narrow = (*_normed(channels, width, 1), nn.ReLU(), *_normed(width, width, 3, stride), nn.ReLU())
        self.layers = nn.Sequential(*narrow, *_normed(width, 4 * width, 1))
        self.shortcut = _shortcut(channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Give the sum behind a ReLU."""
        return torch.relu(self.layers(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, four stages of blocks, the mean over all places, a layer."""

    def __init__(
        self, stem: nn.Module, block: type[Basic | Bottleneck], blocks: tuple[int, ...], classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        stages: list[nn.Module] = []
        channels = 64
        for stage, count in enumerate(blocks):
            for at in range(count):
                stride = 2 if stage and not at else 1
                stages.append(block(channels, 64 << stage, stride))
                channels = (64 << stage) * block.spread
        self.stages = nn.Sequential(*stages)
        self.last = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images."""
        features: Tensor = self.stages(self.stem(x))
        classes: Tensor = self.last(features.mean((2, 3)))
        return classes


def _layers(*sizes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]


def _normed(channels: int, width: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width)


def _shortcut(channels: int, width: int, stride: int) -> nn.Module:
    if channels == width and stride == 1:
        return nn.Identity()
    return nn.Sequential(*_normed(channels, width, 1, stride))


def _drawn(module: nn.Module) -> nn.Module:
    """Draw weights so that values keep their size from layer to layer."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def settled(module: nn.Module, row: Row, rows: int) -> nn.Module:
    """Draw weights, and give batch norms the statistics of random images, as training would."""
    _drawn(module)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        module.train()(torch.rand(rows, *row))
    return module.eval()
