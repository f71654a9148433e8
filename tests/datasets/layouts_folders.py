"""Small folders in the original layouts of the sets with class folders and of the covid films, for a test."""

import pandas as pd

from datasets.layouts import picture, square

NOTES = (
    "Male with COVID-19 pneumonia, 3 days after admission.",
    "Cough and fever; consolidation in the left lower lobe.",
    None,
)


def brain_tumor_mri(folder, count=4):
    for part, mark in (("Training", "Tr"), ("Testing", "Te")):
        for place, name in enumerate(("glioma", "meningioma", "notumor", "pituitary")):
            inner = folder / part / name
            inner.mkdir(parents=True)
            for n in range(1, count + 1):
                seed = 1000 * (part == "Testing") + 100 * place + n
                picture(seed).save(inner / f"{mark}-{name[:2]}_{n:04d}.jpg")
    return folder


def iq_othnccd(folder, count=8):
    for place, name in enumerate(("Bengin", "Malignant", "Normal")):
        inner = folder / "The IQ-OTHNCCD lung cancer dataset" / f"{name} cases"
        inner.mkdir(parents=True)
        for n in range(1, count + 1):
            picture(100 * place + n).save(inner / f"{name} case ({n}).jpg")
    (inner.parent / "IQ-OTH_NCCD lung cancer dataset.txt").write_text("About these pictures.")
    return folder


def covid_chestxray(folder, count=20, todo=0):
    """Every second film is of COVID-19 and every fifth has no outline; from number 11 on two are of one
    patient.

    todo: how many more films have no finding filled in. A row of CT without a file stands at the end.
    """
    images, outlines = folder / "images", folder / "annotations" / "lungVAE-masks"
    images.mkdir(parents=True)
    outlines.mkdir(parents=True)
    rows = []
    for n in range(1, count + todo + 1):
        picture(n).save(images / f"film-{n:02d}.png")
        if n % 5:
            square(left=n).save(outlines / f"film-{n:02d}_mask.png")
        finding = "COVID-19" if n % 2 else ("Pneumocystis", "No Finding", "COVID-19, ARDS")[n % 3]
        rows.append(
            {
                "patientid": n if n < 11 else 11 + n // 2, "filename": f"film-{n:02d}.png",
                "modality": "X-ray", "finding": finding if n <= count else "todo",
                "age": 30 + n if n % 5 else None, "sex": "F" if n % 4 else "M", "view": "PA", "offset": n % 7,
                "temperature": None, "license": "CC BY-NC-SA" if n % 3 else "CC BY 4.0",
                "clinical_notes": NOTES[n % 3],
            }
        )  # fmt: skip
    rows.append({**rows[0], "filename": "slices.nii.gz", "modality": "CT"})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder
