"""Reading pictures and reference masks, and fitting them into a square without changing their shape.

A picture is what a viewer shows: turned upright where its EXIF block says so. A mask is drawn on that and
has its size. Pixels of 16 bits count from 0 to 65535, whatever part of that is used; whole numbers of 32 bits
and fractions are taken as they are where they lie between 0 and 1, else from the picture's lowest value to
its highest. How transparent a pixel is, is not looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from studykit.catalog import InputError

MOST_PIXELS = 100_000_000  # a header that claims more is broken, or meant to break us
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # no others: some of Pillow's readers start other programs
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes of more than 8 bits, which Pillow would cut off
ORIENTATION = 0x0112  # the EXIF tag; TURNS makes its values upright (EXIF 2.32, 4.6.4)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BRIGHT = [0] * 128 + [255] * 128
NOT_BLACK = [0] + [255] * 255

Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # so that Pillow warns of nothing that is read here


def read_image(path: Path) -> Image.Image:
    """The picture in `path`, decoded and upright; InputError naming the file where it cannot be read."""
    with _opened(path) as image:
        turn = _turn(image)
        image.load()
    return image if turn is None else image.transpose(turn)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture in `path` as `read_image` gives it; nothing is decoded."""
    with _opened(path) as image:
        lying = _turn(image) in (TURNS[5], TURNS[6], TURNS[7], TURNS[8])
        return image.size[::-1] if lying else image.size


def read_picture(path: Path, size: int, fill: float, channels: int = 1) -> np.ndarray:
    """The picture in `path` as (channels, size, size) float32 in [0, 1], letterboxed with gray `fill`.

    channels: 1 (gray) or 3 (colour).
    """
    return fractions(read_pixels(path, size, fill, channels))


def read_pixels(path: Path, size: int, fill: float, channels: int = 1) -> np.ndarray:
    """As `read_picture`, but of files with 8 bits a pixel as they are: uint8, of which 255 is 1."""
    image = read_image(path)
    if image.mode in DEEP:
        pixels = np.asarray(letterbox(_unit_range(image, path), size, fill))
        return np.repeat(pixels[None].clip(0, 1), channels, axis=0)
    gray = round(255 * fill)
    if channels == 1:
        return np.asarray(letterbox(_converted(image, "L", path), size, gray))[None]
    pixels = np.asarray(letterbox(_converted(image, "RGB", path), size, (gray,) * 3))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fractions(pixels: np.ndarray) -> np.ndarray:
    """uint8 as float32 from 0 to 1; float32 as it is."""
    return pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels


def read_mask(paths: list[Path], image: Path, size: int) -> np.ndarray:
    """The union of the masks in `paths` as (size, size) bool, laid on the picture in `image`.

    Foreground is what is bright; where nothing is, and there are but two values, what is not black.
    Raises InputError where a mask has another size than its image, or values that are neither.
    """
    full = upright_size(image) if paths else ()
    union = np.zeros((size, size), dtype=bool)
    for path in paths:
        mask = read_image(path)
        if mask.size != full:
            raise InputError(
                f"The mask {path} is {mask.size[0]}x{mask.size[1]} pixels and its image {image.name} "
                f"{full[0]}x{full[1]}; export the mask at the size of the image."
            )
        union |= np.asarray(letterbox(_foreground(mask, path), size, 0)) >= 128
    return union


def shows_colour(path: Path) -> bool:
    """Whether more than one pixel in twenty of the picture in `path` is coloured, and not a shade of gray."""
    image = read_image(path)
    if image.mode in (*DEEP, "1", "L", "LA"):
        return False
    pixels = np.asarray(_converted(image, "RGB", path).resize((64, 64), Image.Resampling.BOX), dtype=int)
    return bool((pixels.max(axis=2) - pixels.min(axis=2) > 16).mean() > 0.05)


def letterbox(image: Image.Image, size: int, fill: float | tuple[int, ...]) -> Image.Image:
    """The picture scaled to fit a square of `size` pixels, centred on `fill`; its aspect is kept."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    if width == height:
        return small
    square = Image.new(image.mode, (size, size), fill)
    square.paste(small, ((size - width) // 2, (size - height) // 2))
    return square


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture in `path`, not yet decoded; whatever goes wrong with it is told as an InputError."""
    try:
        # Given a path, Pillow maps plain TIFFs into memory, and scrambles those that lie on their side.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            if image.format == "TIFF" and image.n_frames > 1:
                raise InputError(
                    f"The image {path} has {image.n_frames} pages; export them as a volume (NIfTI or DICOM), "
                    "or the one that counts as a picture."
                )
            yield image
    except (InputError, MemoryError):
        raise
    except FileNotFoundError:
        raise InputError(f"The file {path} is missing; restore it or remove its case.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"The image {path} claims more than {MOST_PIXELS // 10**6} million pixels; "
            "scale it down or check the file."
        ) from None
    except Exception as why:  # a broken file can make a decoder fail in any way
        raise InputError(
            f"The image {path} cannot be read ({why or type(why).__name__}); "
            "replace the file or remove its case."
        ) from None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright; asked before it is decoded."""
    if image.format == "TIFF" or "exif" not in image.info:  # Pillow turns TIFFs by itself
        return None
    tags = Image.Exif()
    try:
        tags.load(image.info["exif"])
        return TURNS.get(tags.get(ORIENTATION))
    except Exception:  # viewers pass over a broken block, and so do we
        return None


def _converted(image: Image.Image, mode: str, path: Path) -> Image.Image:
    try:
        return image if image.mode == mode else image.convert(mode)
    except ValueError:
        raise InputError(
            f"The image {path} has colours of a kind that is not read ({image.mode}); save it as PNG."
        ) from None


def _unit_range(image: Image.Image, path: Path) -> Image.Image:
    """Pixels of more than 8 bits as fractions from 0 to 1 (mode F)."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray(values.astype(np.float32) / 65535)
    if not np.isfinite(values).all():
        raise InputError(f"The image {path} holds pixels that are no number; put 0 in their place.")
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        values = (values - low) / max(high - low, 1e-30)
    return Image.fromarray(values.astype(np.float32))


def _foreground(mask: Image.Image, path: Path) -> Image.Image:
    """The outline as 0 and 255 (mode L). Masks come as 1-bit, gray, deep, RGB, RGBA or with a palette."""
    if mask.mode in DEEP:
        values = np.asarray(mask)
        dark, two = True, bool(((values == 0) | (values == values.max())).all())
        gray = Image.fromarray((values != 0).astype(np.uint8))
    else:
        gray = mask if mask.mode == "L" else _converted(_converted(mask, "RGB", path), "L", path)
        dark = 0 < gray.getextrema()[1] < 128
        colours = gray.getcolors(2) if dark else None
        two = colours is not None and min(value for _, value in colours) == 0
    if dark and not two:
        raise InputError(
            f"The mask {path} has more than two values and none is bright; write 255 for what is outlined "
            "and 0 for the rest."
        )
    return gray.point(NOT_BLACK if dark else BRIGHT)
