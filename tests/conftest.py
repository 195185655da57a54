import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import numpy as np
import pytest


def pytest_collection_modifyitems(items):
    """Begin with the two files that take longest, so that no worker is left waiting for them at the end."""
    items.sort(key=lambda item: item.path.stem not in ("test_workflow", "test_slurm"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)
