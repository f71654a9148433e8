"""What flows on the machine side: modalities and tasks, the schema they make, and batches of cases.

Shape letters, used as trailing comments everywhere: B batch, C channels, D H W space, F columns,
T words, K attention heads, N tokens.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from studykit.catalog import InputError, check_choice, unknown

MODALITY_KINDS = ("image", "volume", "table", "text")
TASK_KINDS = ("binary", "multiclass", "multilabel", "regression")


@dataclass(frozen=True)
class Modality:
    """One source of evidence about a case.

    shape: of one case: image (C, H, W), volume (C, D, H, W), table (F,), text (T,).
    columns: names of a table's F columns. A column made from another is written `source=value`
        ("Signs=palpable", "Age=missing"), so that its effect can be counted to `source`.
    absent: what stands for the modality's absence: one number, or one per column of a table.
    vocabulary: of a text: the word of each number; 0 is no word (the text has ended), 1 a word not known.
    spacing: mm between the places of a picture along each of its sides; empty where it is not known.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    absent: float | tuple[float, ...] = 0.0
    vocabulary: tuple[str, ...] = ()
    spacing: tuple[float, ...] = ()

    def __post_init__(self):
        check_choice("kind of modality", self.kind, MODALITY_KINDS)
        if self.columns and len(self.columns) != self.shape[0]:
            raise InputError(
                f"Modality '{self.name}' names {len(self.columns)} columns and has {self.shape[0]}; "
                "name each column once."
            )

    @property
    def sources(self) -> dict[str, list[int]]:
        """The positions of a table's columns by the source column they were made from."""
        found: dict[str, list[int]] = {}
        for position, column in enumerate(self.columns):
            found.setdefault(column.split("=")[0], []).append(position)
        return found


@dataclass(frozen=True)
class Task:
    """What is to be predicted. Targets are class indices (B,), 0/1 rows (B, classes) for multilabel,
    numbers (B,) for regression; NaN means unlabelled. A binary task's positive class is the second.

    scale: of a regression, the training cases' mean and standard deviation: a logit counts in the latter
        from the former.
    """

    name: str
    kind: str
    classes: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        check_choice("kind of task", self.kind, TASK_KINDS)
        if "predicted" in self.classes:
            raise InputError(
                f"Task '{self.name}' has a class named 'predicted', which is a column's name in predictions; "
                "call it something else."
            )
        least = {"binary": 2, "multiclass": 2, "multilabel": 1, "regression": 0}[self.kind]
        if len(self.classes) < least or (self.kind == "binary" and len(self.classes) > 2):
            raise InputError(
                f"Task '{self.name}' is {self.kind} and names {len(self.classes)} classes; "
                f"it needs {'exactly' if self.kind == 'binary' else 'at least'} {least}."
            )

    @property
    def outputs(self) -> int:
        """How many logits a head gives: one for binary and regression, else one a class."""
        return 1 if self.kind in ("binary", "regression") else len(self.classes)


@dataclass(frozen=True)
class Schema:
    """The contract between a data set and a model."""

    modalities: tuple[Modality, ...]
    tasks: tuple[Task, ...]

    def modality(self, name: str) -> Modality:
        """The modality of that name; InputError where there is none."""
        return _find("modality", name, self.modalities)

    def task(self, name: str) -> Task:
        """The task of that name; InputError where there is none."""
        return _find("task", name, self.tasks)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schema":
        """The schema that `to_json` wrote."""

        def tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}

        return cls(
            tuple(Modality(**tuples(entry)) for entry in data["modalities"]),
            tuple(Task(**tuples(entry)) for entry in data["tasks"]),
        )


def _find(what: str, name: str, among: tuple) -> Any:
    for entry in among:
        if entry.name == name:
            return entry
    raise InputError(unknown(what, name, [entry.name for entry in among]))


@dataclass
class Batch:
    """Some cases at once; a case is a batch of one.

    ids, groups: (B,) strings; groups are patients.
    inputs: {modality: (B, *shape)}; targets: {task: (B,)}, NaN where unlabelled.
    masks: {modality: (B, *spatial)}, True where the reference outlines the finding; a case
        without a reference has an empty (all False) mask.
    """

    ids: list[str]
    groups: list[str]
    inputs: dict[str, Any]
    targets: dict[str, Any]
    masks: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def map_tensors(self, act: Callable[[Any], Any]) -> "Batch":
        """The same cases with `act` applied to every tensor."""
        parts = ({k: act(v) for k, v in d.items()} for d in (self.inputs, self.targets, self.masks))
        return Batch(self.ids, self.groups, *parts)

    def take(self, where: Any) -> "Batch":
        """The cases at positions `where` (list, index array or index tensor)."""
        positions = [int(i) for i in where]
        picked = self.map_tensors(lambda t: t[positions])
        ids, groups = [self.ids[i] for i in positions], [self.groups[i] for i in positions]
        return Batch(ids, groups, picked.inputs, picked.targets, picked.masks)

    def batches(
        self, parts: Iterable[Sequence[int]], names: Iterable[str] | None = None, masks: bool = False
    ) -> Iterator["Batch"]:
        """One batch for each list of positions, as `Cases.batches` gives it; here all are in memory."""
        asked = list(self.inputs if names is None else names)
        inputs = {name: values for name, values in self.inputs.items() if name in asked}
        some = Batch(self.ids, self.groups, inputs, self.targets, self.masks if masks else {})
        for at in parts:
            yield some.take(at)
