"""The names of VGG19's layers, in order: what parameters, weights and losses call them.

Owns the topology alone (Simonyan & Zisserman 2014, arXiv:1409.1556, table 1, column E); knows no
tensor. A layer's place in `LAYERS` is its index in torchvision's `vgg19().features`.
"""

CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)


def _names() -> tuple[str, ...]:
    names: list[str] = []
    for block, convs in enumerate(CONVS_PER_BLOCK, 1):
        for conv in range(1, convs + 1):
            names += [f"conv{block}_{conv}", f"relu{block}_{conv}"]
        names.append(f"pool{block}")
    return tuple(names)


LAYERS = _names()

#: Whose histograms are compared (Risser et al. 2017, section 3.3): the finest and a coarse one.
HISTOGRAM_LAYERS = ("relu1_1", "relu4_1")


def depth(name: str) -> int:
    """Return a layer's index in `features`; KeyError-free, since names are checked on entry."""
    return LAYERS.index(name)


def deepest(names: "tuple[str, ...] | list[str]") -> str:
    """Return the one of `names` that lies deepest, past which nothing needs to run."""
    return max(names, key=depth)


def downsampling(name: str) -> int:
    """Return how many input pixels one position of the layer stands for, along one edge."""
    return int(2 ** sum(1 for layer in LAYERS[: depth(name) + 1] if layer.startswith("pool")))


def reach(name: str) -> int:
    """Return how many pixels away the farthest pixel is that a position of the layer depends on.

    Counted from the edge of the pixels that the position stands for.
    """
    distance = 0
    for layer in reversed(LAYERS[: depth(name) + 1]):
        if layer.startswith("pool"):
            distance *= 2
        elif layer.startswith("conv"):
            distance += 1
    return distance
