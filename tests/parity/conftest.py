import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks`, which knows how to run the peers
sys.path.insert(0, str(Path(__file__).parent))  # `walks`, which runs those that draw
