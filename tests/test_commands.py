"""The commands as a person types them."""

import json

import pytest

from studykit.__main__ import main


def said(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize("command", ["demo", "run", "explain", "serve"])
def test_help_gives_an_example(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"python -m studykit {command}" in capsys.readouterr().out.split("example:")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.json"], "There is no recipe nowhere.json"),
        (["explain", "nowhere"], "There is no folder nowhere"),
        (["serve", "nowhere"], "There is no folder nowhere"),
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


def test_run_checks_what_it_shall_explain_before_it_trains(capsys, tmp_path):
    recipe = tmp_path / "r.json"
    recipe.write_text(json.dumps({"dataset": {"name": "breast_phantom"}, "explain": ["gradcam"]}))
    code, _, err = said(capsys, "run", recipe, "--out", tmp_path / "out")
    assert code == 2 and "no explainer named 'gradcam'; did you mean grad_cam" in err
    assert not (tmp_path / "out").exists()
