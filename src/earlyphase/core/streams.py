"""Independent random streams, one for each purpose of a replicate."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the random stream of one purpose in the replicate `seed`.

    A stream depends on the seed and the purpose alone: not on which streams were drawn before, the
    device or the number of threads. So mini-batch i, or the initial weights of one layer, is the
    same in whatever order a program asks for it.

    Args:
        seed: the replicate, >= 0.
        purpose: what the numbers are for, e.g. ("order", epoch) or ("initial", "fc.weight").
    """
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))
