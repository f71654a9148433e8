"""Reading pictures and reference masks, and fitting them into a square without changing their shape."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from studykit.catalog import InputError


def read_image(path: Path) -> Image.Image:
    """The picture in `path`, decoded; InputError naming the file where it cannot be read."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise InputError(f"The file {path} is missing; restore it or remove its case.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as why:
        raise InputError(
            f"The image {path} cannot be read ({why}); replace the file or remove its case."
        ) from None


def read_picture(path: Path, size: int, fill: float, channels: int = 1) -> np.ndarray:
    """The picture in `path` as (channels, size, size) float32 in [0, 1], letterboxed with gray `fill`.

    channels: 1 (gray) or 3 (colour).
    """
    gray = round(255 * fill)
    image = read_image(path).convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(letterbox(image, size, gray if channels == 1 else (gray,) * 3), dtype=np.float32)
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1)) / 255


def read_mask(paths: list[Path], image: Path, size: int) -> np.ndarray:
    """The union of the masks in `paths` as (size, size) bool, laid on the picture in `image`.

    Raises InputError where a mask has another size than its image.
    """
    full = read_image(image).size
    union = np.zeros((size, size), dtype=bool)
    for path in paths:
        mask = read_image(path)
        if mask.size != full:
            raise InputError(
                f"The mask {path} is {mask.size[0]}x{mask.size[1]} pixels and its image {image.name} "
                f"{full[0]}x{full[1]}; export the mask at the size of the image."
            )
        union |= np.asarray(letterbox(_foreground(mask), size, 0)) >= 128
    return union


def letterbox(image: Image.Image, size: int, fill: int | tuple[int, ...]) -> Image.Image:
    """The picture scaled to fit a square of `size` pixels, centred on `fill`; its aspect is kept."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new(image.mode, (size, size), fill)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(small, ((size - width) // 2, (size - height) // 2))
    return square


def _foreground(mask: Image.Image) -> Image.Image:
    """Masks come as 1-bit, gray, RGB or RGBA; foreground is a bright colour, whatever alpha says."""
    gray = mask.convert("RGB").convert("L")
    return gray.point(lambda value: 255 if value > 127 else 0)
