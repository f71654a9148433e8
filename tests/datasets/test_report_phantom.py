import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from studykit.catalog import InputError
from studykit.datasets.report_phantom import PRESENT, ReportPhantom
from studykit.datasets.text import words


@pytest.fixture(scope="module")
def cohort():
    return ReportPhantom(count=600)


def told(cohort, seed, positive, shown=True):
    return words(cohort.told(np.random.default_rng(seed), positive, shown)["report"])


def test_a_report_differs_with_its_label_in_one_word_of_two_named_ones(cohort):
    for seed in range(100):
        absent, present = (told(cohort, seed, positive) for positive in (False, True))
        assert len(absent) == len(present)
        changed = [at for at, (a, b) in enumerate(zip(absent, present, strict=True)) if a != b]
        assert len(changed) == 1 and absent[changed[0]] == "no" and present[changed[0]] in PRESENT
        assert absent[changed[0] + 1] == "opacity"


def test_a_report_without_evidence_is_the_same_for_both_classes(cohort):
    for seed in range(100):
        absent, present = (told(cohort, seed, positive, shown=False) for positive in (False, True))
        assert absent == present and "opacity" not in absent


def test_evidence_names_the_two_words(cohort):
    for case, row in cohort.cases.iloc[:200].iterrows():
        found = cohort.evidence(case)
        assert set(found) == ({"image", "report"} if row["evidence"] == "both" else {row["evidence"]})
        if "report" in found:
            before, after = (words(row["report"])[at] for at in found["report"])
            assert after == "opacity" and (before == "no") == (row["truth"] == "absent")


def test_counting_words_does_not_answer_the_question():
    cases = ReportPhantom(count=1500, in_image=0.0, in_report=1.0).cases
    counts = CountVectorizer(token_pattern=r"\w+").fit_transform(cases["report"])
    model = LogisticRegression(max_iter=1000).fit(counts[:1000], cases["truth"][:1000])
    assert 0.6 < model.score(counts[1000:], cases["truth"][1000:]) < 0.85
    pairs = CountVectorizer(token_pattern=r"\w+", ngram_range=(2, 2)).fit_transform(cases["report"])
    model = LogisticRegression(max_iter=1000).fit(pairs[:1000], cases["truth"][:1000])
    assert model.score(pairs[1000:], cases["truth"][1000:]) > 0.97


def test_outside_its_disc_a_film_is_the_same_whatever_its_label(cohort):
    for case in cohort.cases.index[:40]:
        region = cohort.region(case, "image")
        absent, doubtful, present = (
            cohort.drawn(case, truth)[0] for truth in ("absent", "doubtful", "present")
        )
        assert np.array_equal(absent[~region], present[~region])
        assert np.array_equal(absent[~region], doubtful[~region])
        mask = cohort.mask(case)
        assert absent[mask].mean() < doubtful[mask].mean() < present[mask].mean()
        assert (mask & ~region).sum() == 0 and abs(region.mean() - np.pi * 0.15**2) < 0.01


def test_film_and_report_agree_about_everything_else(cohort):
    for case, row in cohort.cases.iloc[:200].iterrows():
        said = words(row["report"])
        at = said.index("effusion")
        assert ("no" in (said[at - 1], said[at - 3])) == (row["effusion"] == "none")
        assert ("is enlarged" in row["report"]) == (row["heart"] == "large")
        if cohort.shows(case, "report"):
            assert f"{row['side']} {row['zone']} zone" in row["report"].lower()
    right = cohort.cases.index[cohort.cases["side"] == "right"][:10]
    assert all(np.argwhere(cohort.mask(case))[:, 1].mean() < 32 for case in right)
    for case, row in cohort.cases.iloc[:40].iterrows():
        base = cohort.drawn(case, "absent")[0, 40:48]
        whiter = base[:, 36:56].mean() - base[:, 8:28].mean()  # the left base against the right
        assert row["effusion"] == "none" or (whiter > 0) == (row["effusion"] == "left")


def test_label_noise_flips_labels_and_keeps_the_truth():
    cases = ReportPhantom(count=2000, label_noise=0.2).cases
    assert abs((cases["opacity"] != cases["truth"]).mean() - 0.2) < 0.03


def test_the_seed_decides_everything():
    one, again, other = ReportPhantom(count=30), ReportPhantom(count=30), ReportPhantom(count=30, seed=2)
    case = one.cases.index[7]
    assert np.array_equal(one.picture(case), again.picture(case))
    assert not np.array_equal(one.picture(case), other.picture(case))
    assert one.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"in_image": 0.3, "in_report": 0.3}, "'in_image' and 'in_report' sum to 0.6"),
        ({"in_report": 2}, "'in_report' is a share between 0 and 1"),
        ({"size": 16}, "at least 32 pixels"),
    ],
)
def test_impossible_cohorts_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        ReportPhantom(**settings)
