import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)
