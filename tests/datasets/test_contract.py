"""What every data set of the catalogue must do; membership is enough to be tested here."""

import numpy as np
import pytest
import torch
from files import dicom_files

from datasets import layouts, layouts_folders, layouts_medmnist, layouts_records, own_files
from studykit.catalog import build, spec
from studykit.datasets import Dataset, Prepared, split

PAIR = {"name": "breast_phantom", "count": 40, "size": 48, "in_image": 1.0, "in_record": 0.0}
SMALL = {
    "breast_phantom": {"count": 40, "size": 48},
    "chest_phantom": {"count": 40, "depth": 8, "size": 32},
    "unrelated_pair": {"first": PAIR, "second": {**PAIR, "size": 32, "seed": 1}},
    "either_pair": {"count": 40},
    "leg_phantom": {"count": 40, "size": 32},
    "lung_pet_ct_dx": {"depth": 8, "size": 16},
    "planted_patch": {"count": 40, "size": 48},
    "redundant_pair": {"count": 40},
    "report_phantom": {"count": 40, "size": 32},
    "xor_phantom": {"count": 40},
}
LAYOUTS = {
    "busi": layouts.busi,
    "breast_lesions_usg": layouts.breast,
    "bus_bra": layouts_records.bus_bra,
    "pad_ufes_20": layouts_records.pad_ufes_20,
    "ham10000": layouts_records.ham10000,
    "brain_tumor_mri": layouts_folders.brain_tumor_mri,
    "iq_othnccd": layouts_folders.iq_othnccd,
    "covid_chestxray": layouts_folders.covid_chestxray,
    "medmnist": layouts_medmnist.medmnist,
    "lung_pet_ct_dx": dicom_files.lung,
    "own_folder": own_files.photos,
}
WITHOUT_OUTLINES = {"brain_tumor_mri", "iq_othnccd", "medmnist"}
OTHERS = [
    {"name": "xor_phantom", "count": 40, "kinds": ["volume", "image"]},
    {"name": "xor_phantom", "count": 40, "kinds": ["image", "table"]},
    {"name": "redundant_pair", "count": 40, "kinds": ["image", "table"]},
    {"name": "either_pair", "count": 40, "kinds": ["volume", "table"]},
    {"name": "planted_patch", "count": 40, "size": 48, "kind": "volume", "in_record": 0.5},
    {"name": "unrelated_pair", "first": {"name": "chest_phantom", **SMALL["chest_phantom"]}, "second": PAIR},
]


@pytest.fixture(params=[*sorted(Dataset.catalogue), *OTHERS], ids=lambda p: p if isinstance(p, str) else None)
def dataset(request, tmp_path):
    named = {"name": request.param} if isinstance(request.param, str) else request.param
    settings = {**SMALL.get(named["name"], {}), **named}
    if named["name"] in LAYOUTS:
        settings["folder"] = str(LAYOUTS[named["name"]](tmp_path / "d"))
    return build(Dataset, settings)


def test_the_case_table(dataset):
    cases = dataset.cases
    assert cases.index.name == "id" and cases.index.is_unique
    assert cases.index.map(type).unique().tolist() == [str]
    assert {"group", *dataset.record, *dataset.texts, *(t.name for t in dataset.tasks)} <= set(cases.columns)
    for task in dataset.tasks:
        assert set(cases[task.name].dropna()) <= set(task.classes)
    assert dataset.card.title and dataset.card.citation and dataset.card.licence and dataset.card.label
    assert not set(dataset.card.refused) & {*dataset.record, *dataset.texts}


def test_pictures_and_masks_fit_the_schema(dataset):
    for case in dataset.cases.index[:4]:
        for modality in dataset.pictures:
            assert len(modality.shape) == {"image": 3, "volume": 4}[modality.kind]
            values = dataset.picture(case, modality.name)
            assert values.shape == modality.shape and values.dtype == np.float32
            assert 0 <= values.min() < values.max() <= 1
            mask = dataset.mask(case, modality.name)
            assert mask.shape == modality.shape[1:] and mask.dtype == bool
            hidden = dataset.name == "either_pair" and modality.name not in dataset.evidence(case)
            assert mask.any() != (hidden or dataset.name in WITHOUT_OUTLINES)


def test_it_can_be_written_down_and_made_again(dataset):
    again = build(Dataset, spec(dataset))
    assert again == dataset and again.fingerprint == dataset.fingerprint
    assert again.cases.equals(dataset.cases)


def test_a_batch_gives_what_its_single_cases_give(dataset):
    ids = dataset.cases.index[[3, 0, 5]].tolist()
    prepared = Prepared.fit(dataset, dataset.cases.index[:10])
    batch = prepared.load(ids)
    assert batch.ids == ids
    for position, case in enumerate(ids):
        one = prepared.load([case])
        for name, values in batch.inputs.items():
            assert torch.equal(values[position], one.inputs[name][0])
            assert values[position].shape == prepared.schema.modality(name).shape
        for name, values in batch.targets.items():
            assert torch.equal(values[position : position + 1], one.targets[name])
        for name, values in batch.masks.items():
            assert torch.equal(values[position], one.masks[name][0])


def test_masks_follow_their_picture_by_name_whatever_the_order(dataset):
    ids = dataset.cases.index.tolist()
    mixed = np.random.default_rng(0).permutation(ids).tolist()
    prepared = Prepared.fit(dataset, ids[:10])
    straight, shuffled = prepared.load(ids), prepared.load(mixed)
    at = [ids.index(case) for case in mixed]
    for name in straight.masks:
        assert torch.equal(straight.masks[name][at], shuffled.masks[name])
        assert torch.equal(straight.inputs[name][at], shuffled.inputs[name])


def test_folds_keep_patients_together_and_classes_balanced(dataset):
    cases, label = dataset.cases, dataset.tasks[0].name
    tested = []
    for fold in range(4):
        parts = split(cases, label, 4, fold, seed=1)
        sides = parts.groupby(cases["group"]).nunique()
        assert sides.max() == 1
        assert set(parts) == {"train", "val", "test"}
        classes = len(dataset.tasks[0].classes)
        assert all(cases.loc[parts == part, label].nunique() == classes for part in set(parts))
        assert parts.equals(split(cases, label, 4, fold, seed=1))
        tested += parts.index[parts == "test"].tolist()
    assert sorted(tested) == sorted(cases.index)
