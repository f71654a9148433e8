import logging

import numpy as np
import pandas as pd
import pytest

from datasets import layouts, layouts_folders
from studykit.catalog import InputError
from studykit.datasets import Prepared, split
from studykit.datasets.covid_chestxray import CovidChestXray, hidden
from studykit.datasets.text import words
from studykit.training import Recipe, find_runs, train


@pytest.fixture
def folder(tmp_path):
    return layouts_folders.covid_chestxray(tmp_path / "covid")


def table(folder):
    return pd.read_csv(folder / "metadata.csv")


def write(folder, rows):
    rows.to_csv(folder / "metadata.csv", index=False)


def test_films_only_with_record_note_and_label(folder):
    dataset = CovidChestXray(folder=str(folder), size=32)
    cases = dataset.cases
    assert len(cases) == 20 and "slices" not in " ".join(cases.index)
    assert cases["finding"].value_counts().to_dict() == {"COVID-19": 14, "other": 6}
    assert cases.loc["film-08", ["age", "sex", "finding"]].tolist() == [38, "M", "COVID-19"]
    assert cases.loc["film-04", "finding"] == "other" and pd.isna(cases.loc["film-05", "age"])
    assert cases.loc["film-02", "clinical_notes"] is None
    assert cases.loc["film-04", "clinical_notes"].startswith("Cough and fever")
    assert cases.groupby("group").size().max() == 2 and cases["group"].nunique() == 16
    assert dataset.picture("film-04").shape == (1, 32, 32)


def test_masks_are_of_the_lungs_and_empty_where_there_is_none(folder):
    dataset = CovidChestXray(folder=str(folder), size=60)
    assert dataset.mask("film-04").sum() == 144 and not dataset.mask("film-05").any()
    assert dataset.mask("film-04")[18 : 18 + 12, 4 : 4 + 12].all()
    assert len(dataset.sources("film-04", "image")) == 2 and len(dataset.sources("film-05", "image")) == 1
    assert "16 of 20 films have an outline: it is a model's and shows the lungs" in dataset.notes()[1]
    assert dataset.files()[0] == folder / "metadata.csv" and len(dataset.files()) == 1 + 20 + 16


def test_rows_are_joined_by_name_and_not_by_order(folder):
    one = CovidChestXray(folder=str(folder))
    before, film = one.cases, one.picture("film-07")
    write(folder, table(folder).iloc[::-1])
    two = CovidChestXray(folder=str(folder))
    assert two.cases.loc[before.index].equals(before) and np.array_equal(two.picture("film-07"), film)


def test_a_finding_that_was_never_filled_in_is_looked_at_only(tmp_path):
    folder = layouts_folders.covid_chestxray(tmp_path / "covid", todo=4)
    rows = table(folder)
    rows.loc[22, "finding"] = "Unknown"
    write(folder, rows)
    dataset = CovidChestXray(folder=str(folder))
    assert dataset.cases["finding"].isna().sum() == 4 and "4 of 24 films" in dataset.notes()[0]
    parts = split(dataset.cases, "finding", 4, 0, 0)
    assert (parts[dataset.cases["finding"].isna()] == "test").all()


def test_a_path_of_findings_counts_by_its_last_part(folder):
    rows = table(folder)
    before = CovidChestXray(folder=str(folder)).cases["finding"]
    paths = {"COVID-19": "Pneumonia/Viral/COVID-19", "Pneumocystis": "Pneumonia/Fungal/Pneumocystis"}
    write(folder, rows.assign(finding=rows["finding"].replace(paths)))
    assert CovidChestXray(folder=str(folder)).cases["finding"].equals(before)
    some = CovidChestXray(folder=str(folder), classes=("Pneumocystis", "No Finding", "COVID-19"))
    assert some.cases["finding"].value_counts().to_dict() == {
        "COVID-19": 14, "No Finding": 3, "Pneumocystis": 3,
    }  # fmt: skip
    two = CovidChestXray(folder=str(folder), classes=("Pneumocystis", "No Finding"))
    assert two.tasks[0].kind == "binary" and len(two.cases) == 6


@pytest.mark.parametrize(
    ("note", "left"),
    [
        ("Proven COVID-19.", "Proven [finding]."),
        ("covid19, Covid 19 and (COVID)", "[finding], [finding] and ([finding])"),
        ("SARS-CoV-2-positive, SARS-COV2 and 2019-nCoV", "[finding]-positive, [finding] and [finding]"),
        ("Coronavirus disease 2019 (COVID-19) pneumonia", "[finding] ([finding]) [finding]"),
        ("novel corona virus pneumonia", "[finding]"),
        ("Pneumocystis jirovecii (PCP)", "[finding] ([finding])"),
        ("pneumococcal or E. coli or E.Coli", "[finding] or [finding] or [finding]"),
        ("ARDS, that is acute respiratory distress", "[finding], that is [finding]"),
        ("No significant findings", "[finding]"),
        ("Oddball's disease", "[finding]'s disease"),
        ("Aged 19, recovery of the pneumothorax", "Aged 19, recovery of the pneumothorax"),
        ("Her findings were evident in May 2019", "Her findings were evident in May 2019"),
    ],
)
def test_every_word_that_names_a_finding_is_hidden(note, left):
    assert hidden(pd.Series([note, None]), ["Pneumonia/Odd/Oddball", "todo", None]).tolist()[0] == left


def test_a_hidden_finding_is_one_word_of_the_vocabulary(folder):
    dataset = CovidChestXray(folder=str(folder), size=32)
    assert words(dataset.cases.at["film-03", "clinical_notes"])[:4] == ["male", "with", "[finding]", ","]
    assert dataset.notes()[-1] == "6 of 13 clinical notes name a finding; these words are hidden."
    prepared = Prepared.fit(dataset, dataset.cases.index)
    note = prepared.schema.modality("clinical_notes")
    assert "[finding]" in note.vocabulary and not any("covid" in word for word in note.vocabulary)
    assert prepared.load(["film-02"]).inputs["clinical_notes"].isnan().all()


def test_named_findings_are_left_on_request_and_told(folder):
    dataset = CovidChestXray(folder=str(folder), named_findings=True)
    assert "COVID-19 pneumonia" in dataset.cases.at["film-03", "clinical_notes"]
    assert "left as written: a model may read the label there" in dataset.notes()[-1]


def test_notes_can_be_left_out(folder):
    dataset = CovidChestXray(folder=str(folder), texts=())
    assert "clinical_notes" in dataset.cases and len(dataset.notes()) == 3
    assert [m.name for m in Prepared.fit(dataset, dataset.cases.index).schema.modalities] == [
        "image",
        "record",
    ]


def test_licences_are_counted_and_can_be_chosen(folder):
    assert "CC BY-NC-SA 14, CC BY 4.0 6" in CovidChestXray(folder=str(folder)).notes()[2]
    free = CovidChestXray(folder=str(folder), licences=("CC BY 4.0",))
    assert len(free.cases) == 6 and "Licences of the films: CC BY 4.0 6." in free.notes()
    with pytest.raises(
        InputError, match=r"no licence in metadata\.csv named 'CC BY 4'; did you mean CC BY 4\.0"
    ):
        CovidChestXray(folder=str(folder), licences=("CC BY 4",)).cases  # noqa: B018


def test_an_index_joins_more_and_never_parts_a_patient(folder):
    names = [f"images/film-{n:02d}.png" for n in range(20, 0, -1)]
    rows = pd.DataFrame({"file": names, "group": [f"g{n // 3}" for n in range(20)]})
    rows.to_csv(folder / "index.csv", index=False)
    dataset = CovidChestXray(folder=str(folder))
    groups = dataset.cases["group"].to_dict()
    assert table(folder)["patientid"][13:15].nunique() == 1, "films 14 and 15 are of one patient"
    assert len({groups[f"film-{n}"] for n in (17, 15, 14, 12)}) == 1 and len(set(groups.values())) == 6
    patients = CovidChestXray(folder=str(layouts_folders.covid_chestxray(folder / "another"))).cases["group"]
    assert dataset.cases["group"].groupby(patients).nunique().max() == 1
    assert folder / "index.csv" in dataset.files()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"columns": ("age", "survival")},
            "'survival' .* cannot be an input: it is known only after the film",
        ),
        ({"columns": ("clinical_notes",)}, "no record column of covid_chestxray named 'clinical_notes'"),
        ({"columns": ("agee",)}, "no record column of covid_chestxray named 'agee'; did you mean age"),
        ({"columns": ("age", "sex", "age")}, "names 'age' twice; name it once"),
        ({"texts": ("other_notes",)}, "no text of covid_chestxray named 'other_notes'"),
        ({"classes": ("other", "COVID19")}, "did you mean COVID-19"),
    ],
)
def test_impossible_settings_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        CovidChestXray(**settings)


def _without_column(rows):
    return rows.drop(columns="clinical_notes")


def _stranger(rows):
    return rows.assign(filename=rows["filename"].replace("film-03.png", "film-99.png"))


def _outside(rows):
    return rows.assign(filename=rows["filename"].replace("film-03.png", "../film-03.png"))


def _twice(rows):
    return rows.assign(filename=rows["filename"].replace("film-03.png", "film-04.png"))


def _nobody(rows):
    return rows.assign(patientid=rows["patientid"].astype(object).where(rows["filename"] != "film-03.png"))


def _shifted(rows):
    return rows.assign(age=rows["age"].astype(object).mask(rows.index == 2, "SECRET of the patient"))


def _endless(rows):
    return rows.assign(offset=rows["offset"].astype(object).mask(rows.index == 2, "inf"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without_column, r"no column in metadata\.csv named 'clinical_notes'"),
        (_stranger, r"lists film-99\.png, which is not in .*images; restore the image or remove the row"),
        (_outside, r"metadata\.csv has an X-ray row without a plain filename"),
        (_twice, r"lists two films named 'film-04' \(film-04\.png and film-04\.png\)"),
        (_nobody, r"gives no patientid for film-03\.png"),
        (_endless, r"metadata\.csv has no number in the column 'offset' of film-03"),
        (_shifted, r"metadata\.csv has no number in the column 'age' of film-03; correct it"),
    ],
)
def test_a_bad_table_gets_a_sentence_that_repeats_no_note(folder, change, sentence, caplog):
    caplog.set_level(logging.DEBUG)
    write(folder, change(table(folder)))
    with pytest.raises(InputError, match=sentence) as caught:
        CovidChestXray(folder=str(folder)).cases  # noqa: B018
    for secret in ("SECRET", "Cough and fever", "3 days after admission"):
        assert secret not in f"{caught.value}{caplog.text}"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda text: b"", "metadata.csv is empty"),
        (
            lambda text: text.replace(b"Cough", b"Cough\xe9"),
            r"Row 2 of metadata\.csv .*save it as 'CSV UTF-8'",
        ),
        (lambda text: text.replace(b"CC BY 4.0,", b"CC BY 4.0,,"), r"Row 4 of metadata\.csv has 12 cells"),
    ],
)
def test_a_file_that_is_no_table_gets_a_sentence(folder, spoil, sentence):
    path = folder / "metadata.csv"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=sentence) as caught:
        CovidChestXray(folder=str(folder)).cases  # noqa: B018
    assert "fever" not in str(caught.value)


def test_a_missing_table_gets_a_sentence(folder):
    (folder / "metadata.csv").unlink()
    with pytest.raises(InputError, match=r"metadata\.csv cannot be read"):
        CovidChestXray(folder=str(folder)).cases  # noqa: B018


def test_a_broken_film_and_an_outline_of_another_size_get_a_sentence(folder):
    path = folder / "images" / "film-03.png"
    path.write_bytes(path.read_bytes()[:200])
    layouts.square(size=(50, 40)).save(folder / "annotations" / "lungVAE-masks" / "film-04_mask.png")
    dataset = CovidChestXray(folder=str(folder))
    with pytest.raises(InputError, match=r"film-03\.png cannot be read"):
        dataset.picture("film-03")
    with pytest.raises(InputError, match=r"film-04_mask\.png is 50x40 .* 60x40; export"):
        dataset.mask("film-04")


@pytest.mark.real_data
def test_the_real_films():
    dataset = CovidChestXray()
    cases = dataset.cases
    assert cases["finding"].value_counts(dropna=False).to_dict() == {"COVID-19": 158, "other": 81, np.nan: 58}
    listed = CovidChestXray(
        classes=("COVID-19", "Pneumocystis", "Streptococcus", "Pneumonia", "No Finding", "Klebsiella")
    )
    assert listed.cases["finding"].value_counts().tolist() == [158, 12, 10, 9, 9, 7]
    assert cases["group"].nunique() == 144 and cases["clinical_notes"].notna().sum() == 231
    assert all(path.is_file() for path in dataset.files()) and len(dataset.files()) == 2 + 297 + 92
    outlined = [case for case in cases.index if len(dataset.sources(case)) == 2]
    assert len(outlined) == 92 and all(0.05 < dataset.mask(case).mean() < 0.6 for case in outlined[::8])
    bright = [dataset.picture(case).mean() for case in cases.index[::10]]
    assert np.mean(bright) == pytest.approx(dataset.gray, abs=0.05)


@pytest.mark.real_data
def test_no_real_note_names_its_finding():
    named, bare = (CovidChestXray(named_findings=named).cases["clinical_notes"] for named in (True, False))
    spoken = (
        r"covid|corona|sars|-cov|pneumonia|pneumocys|\b(?:pcp|ards)\b|strep|klebs|legionel|influenza|viral"
    )
    assert named.str.contains(spoken, case=False).sum() == pytest.approx(114, abs=10)
    assert not bare.str.contains(spoken, case=False).any()
    assert bare.str.contains("[finding]", regex=False).sum() == 114
    gone = [len(words(a)) - len(words(b)) for a, b in zip(named.dropna(), bare.dropna(), strict=True)]
    assert max(gone) < 12, "hiding takes names and leaves the rest of a note"


@pytest.mark.real_data
def test_film_and_record_tell_covid_better_than_chance_by_patient(tmp_path):
    dataset = {"name": "covid_chestxray", "size": 64, "texts": []}
    table = train(Recipe.from_json({"dataset": dataset, "training": {"epochs": 20}}), tmp_path)
    own = table.set_index(["statistic", "group"]).loc[("AUROC", "recipe")]
    assert own["low"] > 0.5 and own["n"] == 239


@pytest.mark.real_data
def test_film_record_and_note_are_trained_together(tmp_path):
    recipe = {"dataset": {"name": "covid_chestxray", "size": 64}, "training": {"epochs": 5}, "only": [0]}
    table = train(Recipe.from_json(recipe), tmp_path)
    own = table.set_index(["statistic", "group"]).loc[("AUROC", "recipe")]
    assert 0 <= own["low"] < own["estimate"] < own["high"] <= 1 and own["n"] == 47
    run = find_runs(tmp_path)[0]
    assert list(run.model().encoders) == ["image", "record", "clinical_notes"]
    note = run.schema.modality("clinical_notes")
    assert "[finding]" in note.vocabulary and not any("covid" in word for word in note.vocabulary)
