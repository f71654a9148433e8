import pytest
import torch

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import InputError


def test_a_schema_survives_json():
    schema = Schema(
        (Modality("scan", "volume", (1, 8, 9, 10), absent=-1.0), Modality("r", "table", (2,), ("a", "b=x"))),
        (Task("t", "multiclass", ("u", "v", "w")), Task("age", "regression")),
    )
    assert Schema.from_json(schema.to_json()) == schema


def test_columns_made_from_one_source_are_found_together():
    record = Modality("r", "table", (4,), ("Age", "Signs=no", "Signs=lump", "Age=missing"))
    assert record.sources == {"Age": [0, 3], "Signs": [1, 2]}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Modality("m", "imge", (1, 2, 2)), "did you mean image"),
        (lambda: Modality("m", "table", (2,), ("a",)), "names 1 columns and has 2"),
        (lambda: Task("t", "binary", ("a", "b", "c")), "needs exactly 2"),
        (lambda: Task("t", "multiclass", ("a",)), "needs at least 2"),
        (lambda: Task("t", "sorting"), "no kind of task named 'sorting'"),
        (lambda: Schema((), ()).modality("image"), "no modality named 'image'"),
    ],
)
def test_bad_schemas_get_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_outputs_by_kind():
    kinds = {"binary": ("a", "b"), "multiclass": ("a", "b", "c"), "multilabel": ("a", "b"), "regression": ()}
    assert [Task("t", k, c).outputs for k, c in kinds.items()] == [1, 3, 2, 1]


def test_a_case_is_a_batch_of_one():
    batch = Batch(["a", "b"], ["p", "q"], {"x": torch.arange(6).view(2, 3)}, {"t": torch.tensor([0.0, 1.0])})
    one = batch.take([1])
    assert (one.ids, one.groups, len(one)) == (["b"], ["q"], 1)
    assert one.inputs["x"].tolist() == [[3, 4, 5]]


def test_a_class_may_not_be_named_as_a_column_of_predictions():
    with pytest.raises(InputError, match="'predicted', which is a column's name"):
        Task("t", "binary", ("no", "predicted"))
