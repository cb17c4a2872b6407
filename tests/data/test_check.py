"""What a person is told about a folder."""

import numpy as np
from PIL import Image

from reverie.data.check import Check
from reverie.data.folders import load_folder
from reverie.errors import printable


def test_lines_say_what_was_found_used_and_skipped_and_why(tmp_path):
    for name, seed in [("cat/a.png", 0), ("cat/b.png", 0), ("dog/c.png", 1), ("dog/d.png", 2)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(levels).save(tmp_path / name)
    for i in range(7):
        (tmp_path / f"dog/note{i}.txt").write_text("x")
    (tmp_path / "dog/e.png").touch()
    assert Check(load_folder(tmp_path)).lines() == [
        "found 12, used 4, skipped 8",
        "  7 not a picture: dog/note0.txt, dog/note1.txt, dog/note2.txt, dog/note3.txt, dog/note4.txt, 2 more",
        "  1 empty: dog/e.png",
        "sizes found: 8x8 (4)",
        "samples: 4 of 3 x 8 x 8, colour",
        "classes: 2: cat (2), dog (2)",
        "duplicates: 1 samples are copies of others (they are used)",
        "  cat/a.png = cat/b.png",
    ]


def test_names_cannot_move_a_cursor_or_break_the_encoding():
    assert printable("a\x1b[2J\n\udce9ü") == "a\\x1b[2J\\n\\udce9ü"
