import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # `truth`, the exact data that many tests share
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Tests that fork come first: of PyTorch built for GPUs, a process that made a backward pass has forks that make none."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)
