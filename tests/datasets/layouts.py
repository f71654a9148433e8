"""Small folders in the original layouts of BUSI and BrEaST-Lesions-USG, made anew for a test."""

import numpy as np
import pandas as pd
from PIL import Image

PICTURES = "BrEaST-Lesions_USG-images_and_masks"


def picture(seed, size=(60, 40)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0]), dtype=np.uint8)
    return Image.fromarray(pixels)


def square(size=(60, 40), left=10, top=8, side=12):
    pixels = np.zeros((size[1], size[0]), dtype=np.uint8)
    pixels[top : top + side, left : left + side] = 255
    return Image.fromarray(pixels)


def busi(folder, count=8):
    for name in ("benign", "malignant", "normal"):
        inner = folder / "Dataset_BUSI_with_GT" / name
        inner.mkdir(parents=True)
        for n in range(1, count + 1):
            picture(n + 100 * len(name)).save(inner / f"{name} ({n}).png")
            square(left=4 * n).convert("1").save(inner / f"{name} ({n})_mask.png")
    return folder


def breast(folder, count=20):
    inner = folder / PICTURES
    inner.mkdir(parents=True)
    rows = []
    for n in range(1, count + 1):
        picture(n).save(inner / f"case{n:03d}.png")
        square(left=n).save(inner / f"case{n:03d}_tumor.png")
        label = "malignant" if n % 2 else "benign"
        rows.append(
            {
                "CaseID": n, "Image_filename": f"case{n:03d}.png",
                "Mask_tumor_filename": f"case{n:03d}_tumor.png",
                "Age": 40 + n if n % 5 else "not available", "Tissue_composition": "homogeneous: fat",
                "Signs": "palpable&redness" if n % 3 else "not available", "Symptoms": "no",
                "Shape": "oval", "BIRADS": "4a", "Classification": label,
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "clinical-data.csv", index=False)
    return folder
