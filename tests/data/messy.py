"""A folder with everything that folders of pictures hold in the wild."""

import os
import struct
import zlib

import numpy as np
from PIL import Image

ORIENTATION = 0x0112

SKIPPED = {
    "cat/bomb.png": "more than 67 million pixels",
    "cat/cut.jpg": "cut short or damaged",
    "cat/empty.png": "empty",
    "cat/gone.png": "a link to nothing",
    "cat/nothing.png": "cut short or damaged",
    "cat/pipe.png": "not a regular file",
    "cat/self.png": "a link to itself",
    "cat/text.jpg": "not a picture",
    "dog/loop": "a link to a folder",
    "notes.md": "not a picture",
}
SIZES = {
    "cat/animated.gif": "40x40",
    "cat/cmyk.jpg": "40x40",
    "cat/copy.png": "40x40",
    "cat/palette.png": "40x40",
    "cat/plain.png": "40x40",
    "cat/rgba.png": "40x40",
    "cat/see.png": "40x40",
    "dog/caf\udce9.png": "40x40",
    "dog/deep.png": "40x40",
    "dog/outside.png": "40x40",
    "dog/panorama.png": "3000x200",
    "dog/same.png": "40x40",
    "dog/tall.png": "2x500",
    "dog/tiny.png": "1x1",
    "dog/turned.jpg": "40x80",
}
USED = sorted(SIZES)


def header(width, height):
    """A PNG of one pixel whose header claims another size."""
    content = bytearray(png(Image.new("L", (1, 1))))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def png(picture):
    import io

    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def disc(width, height, paper=(30, 60, 90), ink=(220, 200, 20), radius=0.4):
    """A disc in the middle, its radius in shares of the shorter side."""
    y, x = np.mgrid[:height, :width]
    inside = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < (radius * min(width, height)) ** 2
    return Image.fromarray(np.where(inside[..., None], ink, paper).astype(np.uint8))


def make(folder, outside):
    """Builds it in `folder`, with one picture in `outside` that a link leads to."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
    cat, dog = folder / "cat", folder / "dog"
    plain = disc(40, 40)
    plain.save(cat / "plain.png")
    plain.save(cat / "copy.png")
    plain.save(dog / "same.png")
    clear = plain.convert("RGBA")
    clear.putalpha(disc(40, 40, (0, 0, 0), (255, 255, 255)).convert("L"))
    clear.save(cat / "rgba.png")
    coarse = Image.fromarray((np.arange(1600).reshape(40, 40) // 200).astype(np.uint8))
    coarse.putpalette([value for i in range(8) for value in (30 * i, 255 - 30 * i, 7)])
    coarse.save(cat / "palette.png")
    coarse.save(cat / "see.png", transparency=0)
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(cat / "cmyk.jpg", quality=95)
    frames = [disc(40, 40, radius=r).convert("P") for r in (0.2, 0.3)]
    frames[0].save(cat / "animated.gif", save_all=True, append_images=frames[1:])
    levels = np.linspace(0, 65535, 1600).reshape(40, 40).astype(np.uint16)
    Image.fromarray(levels).save(dog / "deep.png")
    disc(3000, 200).save(dog / "panorama.png")
    disc(2, 500).save(dog / "tall.png")
    disc(1, 1).save(dog / "tiny.png")
    about = Image.Exif()
    about[ORIENTATION] = 6
    upright = disc(40, 80)
    upright.paste((255, 0, 0), (0, 0, 40, 10))  # the top is red
    upright.transpose(Image.Transpose.ROTATE_90).save(dog / "turned.jpg", exif=about, quality=95)
    disc(40, 40, radius=0.25).save(os.path.join(os.fsencode(dog), b"caf\xe9.png").decode(errors="surrogateescape"))
    outside.mkdir()
    disc(40, 40, radius=0.3).save(outside / "there.png")
    (dog / "outside.png").symlink_to(outside / "there.png")
    (dog / "loop").symlink_to(folder)
    (cat / "self.png").symlink_to(cat / "self.png")
    (cat / "gone.png").symlink_to(folder / "nowhere.png")
    disc(40, 40).save(cat / "cut.jpg")
    (cat / "cut.jpg").write_bytes((cat / "cut.jpg").read_bytes()[:500])
    (cat / "empty.png").touch()
    (cat / "nothing.png").write_bytes(header(0, 5))
    (cat / "bomb.png").write_bytes(header(40_000, 40_000))
    (cat / "text.jpg").write_text("<html>not found</html>")
    (folder / "notes.md").write_text("what I did")
    os.mkfifo(cat / "pipe.png")
