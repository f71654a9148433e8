import pandas as pd
import pytest

from datasets import layouts
from studykit.catalog import InputError
from studykit.datasets import BreastLesionsUSG, Prepared
from studykit.datasets.breast_lesions_usg import DESCRIPTORS, PICTURES


@pytest.fixture
def folder(tmp_path):
    return layouts.breast(tmp_path / "breast")


def test_missing_words_are_missing_values(folder):
    cases = BreastLesionsUSG(folder=str(folder)).cases
    assert cases["Age"].isna().sum() == 4 and cases["Age"].dtype == float
    assert cases["Signs"].isna().sum() == 6


def test_the_sheet_serves_where_no_csv_stands(folder):
    table = pd.read_csv(folder / "clinical-data.csv", keep_default_na=False)
    with_csv = BreastLesionsUSG(folder=str(folder)).cases
    (folder / "clinical-data.csv").unlink()
    table.to_excel(folder / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx", index=False)
    assert BreastLesionsUSG(folder=str(folder)).cases.equals(with_csv)
    (folder / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx").unlink()
    with pytest.raises(InputError, match="No clinical table stands in"):
        BreastLesionsUSG(folder=str(folder)).cases  # noqa: B018


@pytest.mark.parametrize("column", sorted(BreastLesionsUSG.card.refused))
def test_columns_that_read_out_the_label_are_refused(column):
    with pytest.raises(InputError, match=f"'{column}' .* cannot be an input: .* Take it out"):
        BreastLesionsUSG(columns=("Age", column))


@pytest.mark.parametrize("column", DESCRIPTORS)
def test_a_readers_descriptors_are_used_only_knowingly(column):
    with pytest.raises(InputError, match="'descriptors'"):
        BreastLesionsUSG(columns=(column,))
    assert column in BreastLesionsUSG(descriptors=True).record
    assert column not in BreastLesionsUSG().record


def test_bad_tables_get_a_sentence(folder):
    with pytest.raises(InputError, match="no column .* named 'Agee'; did you mean Age"):
        BreastLesionsUSG(folder=str(folder), columns=("Agee",)).cases  # noqa: B018
    (folder / PICTURES / "case003.png").unlink()
    with pytest.raises(InputError, match="lists case003.png, which is not in"):
        BreastLesionsUSG(folder=str(folder)).cases  # noqa: B018
    layouts.picture(3).save(folder / PICTURES / "case003.png")
    layouts.picture(3).save(folder / PICTURES / "case900.png")
    with pytest.raises(InputError, match="case900.png has no row in clinical-data.csv"):
        BreastLesionsUSG(folder=str(folder)).cases  # noqa: B018


def test_masks_are_joined_by_name_when_the_table_is_shuffled(folder):
    before = BreastLesionsUSG(folder=str(folder), size=60)
    masks = {case: before.mask(case) for case in before.cases.index}
    table = pd.read_csv(folder / "clinical-data.csv", keep_default_na=False)
    table.sample(frac=1, random_state=3).to_csv(folder / "clinical-data.csv", index=False)
    after = BreastLesionsUSG(folder=str(folder), size=60)
    for case, mask in masks.items():
        assert (after.mask(case) == mask).all()
        assert after.cases["lesion"][case] == before.cases["lesion"][case]


@pytest.mark.real_data
def test_the_real_cases():
    dataset = BreastLesionsUSG()
    assert dataset.cases["lesion"].value_counts().to_dict() == {"benign": 116, "malignant": 74}
    assert dataset.cases["Age"].isna().sum() > 0
    prepared = Prepared.fit(dataset, dataset.cases.index)
    assert {"Age", "Signs=palpable", "Age=missing"} <= set(prepared.record.columns)
    batch = prepared.load(dataset.cases.index[:8])
    assert batch.masks["image"].flatten(1).any(1).all()
