"""Drawn chest films with a radiologist's report, where it is known which of the two tells of an opacity.

In some cases only the film shows whether there is an opacity, in some only the report says so, in some both.
Where the film holds no evidence it shows a doubtful haze for both classes; where the report holds none, it
says that there was nothing to compare with. Where in the lungs, the pleural effusion, the size of the heart
and the wording are drawn alike for both classes, and film and report agree about them.

The report tells by two neighbouring words, "no opacity" or, say, "definite opacity". The same words are said
of the effusion, so that counting words does not answer the question: one must read what "no" belongs to.

These are phantoms: no number measured on them says anything about patients.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from studykit.case import Modality, Task
from studykit.catalog import InputError
from studykit.datasets.card import Card
from studykit.datasets.planted_cohort import PlantedCohort
from studykit.datasets.text import words

LUNG = 0.22  # the gray of aerated lung: what stands for a film that shows nothing
REACH = 0.15  # of an opacity from its middle, in parts of the film's side
PRESENT = ("definite", "new", "obvious")
OPACITY = (  # each {word} of a sentence is drawn; a finding's word stands right before it
    "There is {word} opacity in the {side} {zone} zone.",
    "In the {side} {zone} zone, {word} opacity.",
    "{word} opacity of the {side} {zone} zone.",
)
EFFUSION = (
    "There is {word} effusion on the {side}.",
    "On the {side}, {word} effusion.",
    "{word} {side} pleural effusion.",
)
SILENT = ("Comparison not available.", "There is no earlier film.")
HEART = {"normal": ("Normal heart size.", "The heart is not enlarged."), "large": ("The heart is enlarged.",)}
DOWN = {"upper": 0.30, "middle": 0.46, "lower": 0.62}  # of an opacity's middle, in parts of the film's side


@dataclass(frozen=True)
class ReportPhantom(PlantedCohort, name="report_phantom"):
    """Settings: the number of cases, the film's side in pixels, and where the evidence lies.

    in_image, in_report: the shares of cases whose label shows in the film and in the report; what they sum to
        beyond 1 is the share in which both show it.
    label_noise: the share of cases whose given label is the wrong one; `truth` keeps the right one.

    Films are (1, size, size), air dark, the patient's right on the left. Absent is aerated lung everywhere.
    """

    count: int = 400
    size: int = 64
    in_image: float = 0.6
    in_report: float = 0.6
    label_noise: float = 0.0
    seed: int = 0

    card = Card(
        title="Chest-film phantom with a report, drawn by studykit",
        licence="none needed: no source, no patients",
        citation="drawn by studykit",
        label="planted: an opacity in the film, in the report's words, or in both",
        group="the drawn patient; about one in five has two cases, with the same report and label",
        defects=(
            "reports are made of a dozen sentences",
            "place, effusion, size of the heart and wording are drawn alike for both classes",
        ),
    )
    tasks = (Task("opacity", "binary", ("absent", "present")),)
    texts = ("report",)
    holders = ("image", "report")

    def __post_init__(self):
        self.check_shares()
        if self.count < 20 or self.size < 32:
            raise InputError("A report phantom has at least 20 cases of at least 32 pixels.")

    @property
    def pictures(self) -> tuple[Modality, ...]:  # noqa: D102
        return (Modality("image", "image", (1, self.size, self.size), absent=LUNG),)

    def told(self, draw: np.random.Generator, positive: bool, shown: bool) -> dict[str, object]:
        """The report, and what is true of the patient in both classes alike."""
        seen = {"side": draw.choice(["right", "left"]), "zone": draw.choice(list(DOWN))}
        effusion = {"side": draw.choice(["right", "left"]), "there": bool(draw.random() < 0.5)}
        heart = str(draw.choice(list(HEART)))
        sentences = [draw.choice(part) for part in (OPACITY, EFFUSION, HEART[heart], SILENT)]
        found, other = draw.choice(PRESENT, 2)
        said = [
            sentences[0].format(word=found if positive else "no", **seen) if shown else sentences[3],
            sentences[1].format(word=other if effusion["there"] else "no", side=effusion["side"]),
            sentences[2],
        ]
        mixed = [said[at] for at in draw.permutation(3)]
        return {
            "report": " ".join(sentence[0].upper() + sentence[1:] for sentence in mixed),
            **seen,
            "effusion": effusion["side"] if effusion["there"] else "none",
            "heart": heart,
        }

    def picture(self, case: str, modality: str = "image") -> np.ndarray:  # noqa: D102
        return self.drawn(case, self.cases.at[case, "truth"] if self.shows(case, "image") else "doubtful")

    def drawn(self, case: str, truth: str) -> np.ndarray:
        """The film, were its opacity "absent", "present" or "doubtful"; all else the same."""
        row, draw, size = self.cases.loc[case], self._draw(case, 4), self.size
        film = gaussian_filter(_chest(draw, size, row["effusion"], row["heart"]), size / 80)
        dense = {"absent": 0.0, "doubtful": 0.4, "present": 1.0}[truth]
        opacity = np.clip(1 - self._away(case) ** 2, 0, 1) ** 2 * (1 + 0.2 * _smooth(draw, size, size / 30))
        film += 0.34 * dense * opacity
        film += draw.normal(0, 0.03, film.shape) + 0.02 * _smooth(draw, size, size / 8)
        return np.clip(film, 0, 1).astype(np.float32)[None]

    def mask(self, case: str, modality: str = "image") -> np.ndarray:
        """Where the opacity is, or would be, at least half as dense as in its middle."""
        return self._away(case) <= 0.54

    def region(self, case: str, modality: str) -> np.ndarray | tuple[int, ...]:
        """A disc around where an opacity is or is not; in the report, "opacity" and the word before it."""
        if modality == "image":
            return self._away(case) <= 1
        at = words(self.cases.at[case, "report"]).index("opacity")
        return at - 1, at

    def _away(self, case: str) -> np.ndarray:
        """How far each pixel (H, W) lies from the opacity's middle; 1 is as far as it reaches."""
        row, shift = self.cases.loc[case], self._draw(case, 3).uniform(-0.03, 0.03, 2)
        right = 0.27 if row["side"] == "right" else 0.73
        y, x = (np.mgrid[: self.size, : self.size] + 0.5) / self.size
        return np.hypot(x - right - shift[0], y - DOWN[row["zone"]] - shift[1]) / REACH

    def _draw(self, case: str, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, what, self.cases.index.get_loc(case)])


def _chest(draw: np.random.Generator, size: int, effusion: str, heart: str) -> np.ndarray:
    """A film (H, W) without an opacity: body, lungs, ribs, heart, and fluid on the `effusion`'s side."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    x = (x - 0.5) / draw.uniform(0.95, 1.05)  # parts of the side, to the right of the spine
    y = (y - 0.48) / draw.uniform(0.95, 1.05) + 0.48
    chest = (np.abs(x) < 0.41 + 0.05 * y) & (y > 0.05 + 1.2 * np.maximum(np.abs(x) - 0.12, 0) ** 2)
    film = np.where(chest | (np.abs(x) < 0.12), 0.55, 0.08)
    lung = (np.hypot((np.abs(x) - 0.215) / 0.165, (y - 0.50) / 0.40) < 1) & (np.abs(x) > 0.055)
    dome = 0.76 + 0.02 * (x > 0) + 0.9 * (np.abs(x) - 0.2) ** 2
    film = np.where(lung & (y < dome), LUNG, film)
    ribs = np.cos(2 * np.pi * (y * 10 + 6 * (np.abs(x) - 0.2) ** 2 + draw.random())) > 0.45
    film += 0.05 * (ribs & chest)
    wide = draw.uniform(0.19, 0.22) if heart == "large" else draw.uniform(0.13, 0.16)
    film = np.where(np.hypot((x - 0.05) / wide, (y - 0.62) / 0.15) < 1, 0.72, film)
    film = np.where(np.abs(x) < 0.055, 0.72, film)
    outside = x if effusion == "left" else -x
    depth = draw.uniform(0.10, 0.16)
    fluid = (outside > 0.06) & (y > 0.80 - depth - 0.5 * np.maximum(outside - 0.22, 0)) & chest
    return np.where(fluid & (effusion != "none"), 0.66, film)


def _smooth(draw: np.random.Generator, size: int, blur: float) -> np.ndarray:
    """A smooth random field (H, W) with standard deviation 1."""
    field = gaussian_filter(draw.normal(size=(size, size)), blur, mode="wrap")
    return field / field.std()
