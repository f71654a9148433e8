"""Small folders in the original layouts of BUS-BRA, PAD-UFES-20 and HAM10000, made anew for a test."""

import numpy as np
import pandas as pd
from PIL import Image

from datasets.layouts import picture, square
from studykit.datasets.ham10000 import OUTLINES
from studykit.datasets.pad_ufes_20 import CANCERS, DIAGNOSES, QUESTIONNAIRE


def colour(seed, size=(60, 40)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def bus_bra(folder, count=20):
    inner = folder / "BUSBRA"
    for name in ("Images", "Masks"):
        (inner / name).mkdir(parents=True)
    rows = []
    for case in range(1, count + 1):
        sides = {"l": "left", "r": "right"} if case % 4 else {"s": "single"}
        for letter, side in sides.items():
            name = f"{case:04d}-{letter}"
            picture(10 * case + len(side)).save(inner / "Images" / f"bus_{name}.png")
            square(left=case).convert("1").save(inner / "Masks" / f"mask_{name}.png")
            rows.append(
                {
                    "ID": f"bus_{name}", "Case": case, "Histology": "cyst",
                    "Pathology": "malignant" if case % 2 else "benign", "BIRADS": 4,
                    "Device": "GE Logiq 7 @10-14MHz" if case % 3 else "U-Systems @10-14MHz",
                    "Width": 60, "Height": 40, "Side": side, "BBOX": f"[{case},8,12,12]",
                }
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(inner / "bus_data.csv", index=False)
    return folder


def pad_ufes_20(folder, count=8):
    """Every second one who has no cancer was not asked: the original's shortcut."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for lesion in range(count * len(DIAGNOSES)):
        diagnosis, patient = DIAGNOSES[lesion % len(DIAGNOSES)], f"PAT_{lesion + 8}"
        name = f"{patient}_{lesion}_{900 - lesion}"
        colour(lesion).save(folder / "images" / f"{name}.png")
        square(left=lesion % 40).save(folder / "masks" / f"{name}_mask.png")
        asked = diagnosis in CANCERS or lesion // len(DIAGNOSES) % 2
        answers = dict.fromkeys(QUESTIONNAIRE, lesion % 3 == 0)
        answers |= {"gender": "MALE", "background_father": "UNK", "background_mother": "ITALY"}
        answers |= {"fitspatrick": 2.0, "diameter_1": 10.0, "diameter_2": 7.5}
        rows.append(
            {
                "patient_id": patient, "lesion_id": lesion, **(answers if asked else {}),
                "age": 30 + lesion, "region": "FACE" if lesion % 2 else "BACK", "diagnostic": diagnosis,
                "itch": True, "grew": "UNK" if lesion % 5 == 0 else False, "hurt": False, "changed": False,
                "bleed": False, "elevation": True, "img_id": f"{name}.png", "biopsed": diagnosis in CANCERS,
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder


def ham10000(folder, count=8):
    classes = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    parts = [folder / f"HAM10000_images_part_{part}" for part in (1, 2)]
    for inner in (*parts, folder / OUTLINES):
        inner.mkdir(parents=True)
    rows = []
    for image in range(count * len(classes)):
        name = f"ISIC_{24306 + image:07d}"
        colour(image).save(parts[image % 2] / f"{name}.jpg")
        square(left=image % 40).save(folder / OUTLINES / f"{name}_segmentation.png")
        rows.append(
            {
                "lesion_id": f"HAM_{image:07d}", "image_id": name, "dx": classes[image % len(classes)],
                "dx_type": "histo", "age": "" if image % 10 == 0 else 40.0 + image % 9,
                "sex": ("female", "male", "unknown")[image % 3],
                "localization": "unknown" if image % 4 == 0 else "back",
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "HAM10000_metadata.csv", index=False)
    return folder


def edit(path, change):
    """Write the CSV table again as `change` leaves it (all cells are text)."""
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def put(row, column, value):
    """A change: this value in that column of a row, counted as in the file (the header is row 1)."""
    return lambda table: table.assign(
        **{column: [value if at == row - 2 else cell for at, cell in enumerate(table[column])]}
    )
