"""The commands as a person types them."""

import json
import shutil
import socket
import subprocess
import sys

import pytest
from conftest import ROOT
from datasets import layouts

from studykit.__main__ import main


def said(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize(
    "command",
    [
        "demo", "models", "suits", "check", "fetch", "import", "run", "explain", "quality", "contributions",
        "serve",
    ],
)  # fmt: skip
def test_help_gives_an_example(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"python -m studykit {command}" in capsys.readouterr().out.split("example:")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.json"], "There is no recipe named 'nowhere.json'"),
        (["explain", "nowhere"], "There is no folder nowhere"),
        (["quality", "nowhere"], "There is no folder nowhere"),
        (["contributions", "nowhere"], "There is no folder nowhere"),
        (["contributions", "nowhere", "--parts", "image"], "--parts is written MODALITY=HOW"),
        (["serve", "nowhere"], "There is no folder nowhere"),
        (["check", "nowhere"], "There is no dataset named 'nowhere'"),
        (["check", "nowhere.json"], "There is no recipe named 'nowhere.json'"),
        (["check", "breast_phantom", "--confirm"], "--confirm goes with a folder of your own cases"),
        (["fetch", "nowhere"], "There is no data set named 'nowhere'"),
        (
            ["fetch", "brain_tumor_mri", "--to", "nowhere"],
            "No program may fetch brain_tumor_mri. By hand: sign in at Kaggle",
        ),
        (["import", "nowhere", "out", "--key", "key"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_a_code(capsys, arguments, sentence):
    code, _, err = said(capsys, *arguments)
    assert code == 2 and err.startswith("studykit: ") and sentence in err
    assert err.count("\n") == 1


def test_explain_says_which_method_suits(capsys, runs):
    both = ("--methods", "integrated_gradients", "grad_cam")
    code, out, _ = said(capsys, "explain", runs / "record alone", *both)
    assert code == 0 and "integrated_gradients stands already" in out
    assert "Grad-CAM needs a feature map" in out and "use integrated_gradients" in out
    code, _, err = said(capsys, "explain", runs / "record alone", "--methods", "grad_cam")
    assert code == 2 and "None of these methods suits" in err
    code, _, err = said(capsys, "explain", runs / "fusion", "--methods", "grad_camm")
    assert code == 2 and "did you mean grad_cam" in err


def test_explain_takes_the_class_and_processes(capsys, runs, tmp_path):
    copy = shutil.copytree(runs / "fusion", tmp_path / "fusion")
    asked = ("--methods", "grad_cam", "random_map", "--of", "true", "--workers", "1")
    code, out, _ = said(capsys, "explain", copy, *asked)
    assert code == 0 and "random_map of 20 cases" in out
    assert (copy / "fold-0" / "explanations.zarr" / "grad_cam,of=true").is_dir()
    code, _, err = said(capsys, "explain", copy, "--of", "wrong")
    assert code == 2 and "no class explained named 'wrong'" in err


def test_quality_prints_scores_and_grades_and_attention(capsys, runs, tmp_path):
    copy = shutil.copytree(runs / "fusion", tmp_path / "fusion")
    scores = ("--scores", "relevance_mass", "randomisation", "--cases", "6", "--methods", "grad_cam")
    code, out, _ = said(capsys, "quality", copy, *scores, "--attention")
    assert code == 0 and "edge_map" in out and "randomisation, of sizes" in out
    assert "Graded against the planted truth" in out and "believed" in out
    assert "has no attention to read" in out
    code, out, _ = said(capsys, "quality", copy, *scores, "--by", "size")
    assert code == 0 and "small" in out
    code, _, err = said(capsys, "quality", copy, *scores[:2], "relevance_mas")
    assert code == 2 and "did you mean relevance_mass" in err


def test_run_checks_what_it_shall_explain_before_it_trains(capsys, tmp_path):
    recipe = tmp_path / "r.json"
    recipe.write_text(json.dumps({"dataset": {"name": "breast_phantom"}, "explain": ["gradcam"]}))
    code, _, err = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 2 and "no explainer named 'gradcam'; did you mean grad_cam" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"part": {}}, "no setting of contributions named 'part'; did you mean parts"),
        ({"parts": {"imag": 16}}, "no modality here named 'imag'; did you mean image"),
        ({"parts": {"image": "patch"}}, "no parts named 'patch'; did you mean patches"),
        ({"fill": "absence"}, "no fill named 'absence'; did you mean absent"),
        ({"output": "logits"}, "no output named 'logits'; did you mean logit"),
    ],
)
def test_run_checks_what_contributions_it_shall_compute(capsys, tmp_path, wanted, sentence):
    recipe = tmp_path / "r.json"
    recipe.write_text(json.dumps({"dataset": {"name": "breast_phantom"}, "contributions": wanted}))
    code, _, err = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 2 and sentence in err and not (tmp_path / "out").exists()


def test_contributions_are_computed_by_recipe_and_by_command(capsys, tmp_path):
    recipe = tmp_path / "r.json"
    data = {"name": "breast_phantom", "count": 60, "size": 32}
    wanted = {"dataset": data, "folds": 3, "only": [1], "training": {"epochs": 3}}
    recipe.write_text(json.dumps({**wanted, "contributions": {"parts": {"image": 16}}}))
    code, out, _ = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 0 and "contribution" in out
    assert (tmp_path / "out" / "r" / "fold-1" / "contributions.parquet").is_file()
    beside = (
        "--parts",
        "image=16x16",
        "--fill",
        "image=blur",
        "record=absent",
        "--beside",
        "whole_occlusion",
    )
    code, out, _ = said(capsys, "contributions", tmp_path / "out", *beside, "--cases", 10)
    assert code == 0 and "Whole-modality occlusion" in out


def break_busi(folder, how):
    inner = folder / "Dataset_BUSI_with_GT" / "benign"
    if how == "missing folder":
        shutil.rmtree(folder)
    elif how == "unreadable image":
        (inner / "benign (4).png").write_bytes(b"not a picture")
    elif how == "mask of another size":
        layouts.square(size=(50, 40)).save(inner / "benign (2)_mask.png")
    elif how == "image without mask":
        (inner / "benign (3)_mask.png").unlink()
    elif how == "mask without image":
        (inner / "benign (3).png").unlink()


def break_breast(folder, how):
    if how == "row without image":
        (folder / layouts.PICTURES / "case003.png").unlink()
    elif how == "image without row":
        layouts.picture(9).save(folder / layouts.PICTURES / "case999.png")
    elif how == "one class":
        table = folder / "clinical-data.csv"
        table.write_text(table.read_text().replace("malignant", "benign"))


BAD = [
    ("busi", "missing folder", {}, "is not here"),
    ("busi", "unreadable image", {}, "benign (4).png cannot be read"),
    ("busi", "mask of another size", {}, "benign (2)_mask.png is 50x40"),
    ("busi", "image without mask", {}, "benign (3).png has no mask"),
    ("busi", "mask without image", {}, "benign (3)_mask.png has no image"),
    ("breast_lesions_usg", "row without image", {}, "lists case003.png"),
    ("breast_lesions_usg", "image without row", {}, "case999.png has no row"),
    ("breast_lesions_usg", "one class", {}, "All labelled cases are of one class"),
    ("breast_lesions_usg", "unknown column", {"columns": ["Agee"]}, "did you mean Age"),
    ("breast_lesions_usg", "read-out column", {"columns": ["BIRADS"]}, "cannot be an input"),
]


@pytest.mark.parametrize(("name", "how", "settings", "sentence"), BAD, ids=[how for _, how, *_ in BAD])
def test_bad_cases_end_a_run_with_a_sentence_and_nothing_written(
    capsys, tmp_path, name, how, settings, sentence
):
    make, damage = {"busi": (layouts.busi, break_busi)}.get(name, (layouts.breast, break_breast))
    folder = make(tmp_path / "cases")
    damage(folder, how)
    recipe = tmp_path / "r.json"
    data = {"name": name, "folder": str(folder), "size": 32, **settings}
    recipe.write_text(json.dumps({"dataset": data, "folds": 4}))
    code, _, err = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 2 and sentence in err
    assert len([line for line in err.splitlines() if line.startswith("studykit: ")]) == 1
    assert "Traceback" not in err and not (tmp_path / "out").exists()


def test_a_good_folder_of_that_layout_runs(capsys, tmp_path):
    data = {"name": "breast_lesions_usg", "folder": str(layouts.breast(tmp_path / "cases")), "size": 32}
    recipe = tmp_path / "r.json"
    wanted = {"dataset": data, "folds": 4, "only": [1], "training": {"epochs": 3}, "explain": ["grad_cam"]}
    recipe.write_text(json.dumps(wanted))
    code, out, _ = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 0 and "AUROC" in out and "grad_cam of 5 cases" in out
    assert (tmp_path / "out" / "r" / "fold-1" / "explanations.zarr" / "grad_cam").is_dir()


def test_a_taken_port_gets_a_sentence(capsys, runs):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        code, _, err = said(capsys, "serve", runs, "--port", taken.getsockname()[1])
    assert code == 2 and "choose another with --port" in err


def own(folder, rows):
    """A small folder of own cases."""
    folder.mkdir()
    for number in range(rows):
        layouts.picture(number).save(folder / f"{number}.png")
    lines = [f"c{n},p{n},{'yes' if n % 3 else 'no'},{40 + n % 7},{n}.png" for n in range(rows)]
    (folder / "cases.csv").write_text("\n".join(["id,patient,label,age,photo", *lines]))
    return folder


def test_check_shows_columns_for_confirmation_and_writes_them_when_asked(capsys, tmp_path):
    folder = own(tmp_path / "mine", 30)
    code, out, _ = said(capsys, "check", folder)
    assert code == 0 and "label: task, binary: no, yes" in out
    assert "age: number" in out and "photo: gray image" in out
    assert "30 cases of 30 patients" in out and "0 problems" in out
    assert not (folder / "cases.json").exists()
    code, out, _ = said(capsys, "check", folder, "--confirm")
    assert code == 0 and json.loads((folder / "cases.json").read_text())["columns"]["age"] == "number"
    code, again, _ = said(capsys, "check", folder)
    assert code == 0 and "age: number" in again


def test_check_ends_with_1_where_there_are_problems(capsys, tmp_path):
    folder = own(tmp_path / "mine", 30)
    (folder / "7.png").write_bytes((folder / "6.png").read_bytes())  # yes and no, of two patients
    code, out, _ = said(capsys, "check", folder)
    assert code == 1 and "PROBLEM" in out and "c6" in out and "c7" in out


def test_check_of_a_recipe_looks_at_its_split(capsys, tmp_path):
    recipe = tmp_path / "r.json"
    recipe.write_text(json.dumps({"dataset": {"name": "breast_phantom", "count": 60, "size": 32}}))
    code, out, _ = said(capsys, "check", recipe)
    assert code == 0 and "train" in out and "no split was given" not in out


def test_fetch_asks_and_takes_silence_for_no(capsys, tmp_path):
    code, out, _ = said(capsys, "fetch", "bus_bra", "--to", tmp_path / "data")
    assert code == 0 and "licence:" in out and "citation:" in out and "Nothing was fetched." in out
    assert not (tmp_path / "data").exists()


def test_suits_says_which_and_why_not(capsys):
    code, out, _ = said(capsys, "suits")
    assert code == 0 and "chest_phantom: volume, record (table)" in out
    assert "not mmcaf: The model mmcaf takes" in out


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    command = f"{sys.executable} -m studykit check breast_phantom | head -1"
    said = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "phantom" in said.stdout and "Traceback" not in said.stderr
