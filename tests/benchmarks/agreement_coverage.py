"""How often the intervals of agreement hold the truth: simulated ratings whose agreement is known.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.agreement_coverage

prints a table (tests/benchmarks/RESULTS.md keeps it): 500 repeats a statistic, population and number of
cases. Every case has a true category, drawn; each reader names it with a probability, else another by his own
habits; so the joint table of two readers, and with it every kappa and alpha, is known exactly. ICC: normal
effects of case, reader and error. "Yes" is 92 to 98 %; repeats without an interval (no disagreement in the
sample, say) are counted apart. The table is the answer: it also says for which n an interval does not hold.
"""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studykit.trust.brennan_prediger import BrennanPrediger
from studykit.trust.cohen_kappa import CohenKappa
from studykit.trust.conger_kappa import CongerKappa
from studykit.trust.fleiss_kappa import FleissKappa
from studykit.trust.gwet_ac import GwetAC
from studykit.trust.icc import Icc
from studykit.trust.krippendorff_alpha import KrippendorffAlpha
from studykit.trust.light_kappa import LightKappa
from studykit.trust.weights import agreement_weights

REPEATS, CASES = 500, (20, 50, 100, 200)
LOW, HIGH = 0.92, 0.98


@dataclass(frozen=True)
class Population:
    """Cases of q categories and readers who err.

    prevalence: (q,). skill: how often each reader sees the truth, or a pair of numbers, of easy and of hard
    patients. near: errors are one grade off; else any category, as often as it is there. per_patient: cases
    of a patient; they share their true category, and are all easy or all hard.
    """

    prevalence: tuple
    skill: tuple
    near: bool = False
    per_patient: int = 1

    def habit(self, skill):
        """P(named | true), (q, q)."""
        q = len(self.prevalence)
        if not self.near:
            return skill * np.eye(q) + (1 - skill) * np.tile(self.prevalence, (q, 1))
        off = np.eye(q, k=1) + np.eye(q, k=-1)
        return skill * np.eye(q) + (1 - skill) * off / off.sum(axis=1, keepdims=True)

    @property
    def skills(self):
        """(readers, 2): of easy and of hard patients."""
        return np.array([np.broadcast_to(skill, 2) for skill in self.skill])

    def joints(self):
        """P(one reader names k and the other l), (q, q), of all ordered pairs of readers."""
        of_truth = np.diag(self.prevalence)
        return [
            np.mean([self.habit(x).T @ of_truth @ self.habit(y) for x, y in zip(a, b)], axis=0)
            for i, a in enumerate(self.skills)
            for j, b in enumerate(self.skills)
            if i != j
        ]

    def drawn(self, n, rng):
        """A table of ratings of n cases by all readers."""
        patients = -(-n // self.per_patient)
        patient = np.repeat(np.arange(patients), self.per_patient)[:n]
        true = rng.choice(len(self.prevalence), patients, p=self.prevalence)[patient]
        hard = rng.integers(0, 2, patients)[patient]
        ratings = []
        for skills in self.skills:
            upto = np.stack([self.habit(skill).cumsum(axis=1) for skill in skills])[hard, true]
            ratings.append((rng.random((n, 1)) > upto[:, :-1]).sum(axis=1))
        return table(np.array(ratings), patient)


@dataclass(frozen=True)
class Effects:
    """Ratings = case + reader + error, normal; spread: the three standard deviations.

    nested: each case has readers of its own. ragged: and one to `readers` of them. per_patient: cases of a
    patient; half of the variance of cases is then between patients.
    """

    spread: tuple
    readers: int
    nested: bool = False
    ragged: bool = False
    per_patient: int = 1

    def drawn(self, n, rng):
        """A table of ratings of n cases."""
        case, reader, error = self.spread
        shape, patient = (self.readers, n), np.arange(n) // self.per_patient
        of_cases = rng.normal(0, case, n)
        if self.per_patient > 1:
            of_cases = (of_cases + rng.normal(0, case, n)[patient]) / np.sqrt(2)
        of_readers = rng.normal(0, reader, shape if self.nested else (self.readers, 1))
        made = table(of_cases + of_readers + rng.normal(0, error, shape), patient)
        if self.ragged:
            rated = rng.integers(1, self.readers + 1, n)
            made = made[made["reader"] < rated[made["case"]]]
        return made.assign(reader=np.nan) if self.nested else made

    def icc(self, consistency=False, k=1):
        """The population's ICC of the mean of k readers."""
        case, reader, error = np.square(self.spread)
        return case / (case + (error + (0 if consistency else reader)) / k)


def table(ratings, patient):
    """The long table of ratings (readers, cases)."""
    readers, cases = ratings.shape
    return pd.DataFrame(
        {
            "reader": np.repeat(np.arange(readers), cases),
            "case": np.tile(np.arange(cases), readers),
            "patient": np.tile(patient, readers),
            "rating": ratings.ravel(),
        }
    )


def kappa(population, chance, weights="unweighted"):
    """The population's coefficient; chance: "own" habits (Cohen, Conger), "shared", "ac" or "even"."""
    joints, q = population.joints(), len(population.prevalence)
    w = agreement_weights(weights, range(q))
    mean = np.mean([joint.sum(axis=1) for joint in joints], axis=0)
    by_chance = {
        "own": np.mean([joint.sum(axis=1) @ w @ joint.sum(axis=0) for joint in joints]),
        "shared": mean @ w @ mean,
        "ac": w.sum() * (mean * (1 - mean)).sum() / (q * (q - 1)),
        "even": w.mean(),
    }[chance]
    return (np.mean([(joint * w).sum() for joint in joints]) - by_chance) / (1 - by_chance)


def light(population):
    """The population's mean over pairs of Cohen's kappas."""
    chance = np.array([joint.sum(axis=1) @ joint.sum(axis=0) for joint in population.joints()])
    observed = np.array([np.trace(joint) for joint in population.joints()])
    return ((observed - chance) / (1 - chance)).mean()


def alpha(population, metric):
    """The population's alpha."""
    joint = np.mean(population.joints(), axis=0)
    share = joint.sum(axis=0)
    x = share.cumsum() - share / 2 if metric == "ordinal" else np.arange(len(share))
    apart = (x[:, None] - x) ** 2 if metric != "nominal" else 1 - np.eye(len(share))
    return 1 - (joint * apart).sum() / (share @ apart @ share)


EVEN, RARE, GRADES = (0.5, 0.5), (0.8, 0.2), (0.3, 0.25, 0.2, 0.15, 0.1)
TWO = {
    "2 readers, 2 categories": Population(EVEN, (0.8, 0.8)),
    "2 readers, 2 categories, one in 5 cases": Population(RARE, (0.85, 0.85)),
    "2 readers, 5 grades": Population(GRADES, (0.75, 0.75), near=True),
}
SEVERAL = {
    "3 readers, 2 categories": Population(EVEN, (0.85, 0.8, 0.75)),
    "4 readers, 2 categories, one in 5 cases": Population(RARE, (0.9, 0.85, 0.8, 0.8)),
    "5 readers, 5 grades": Population(GRADES, (0.85, 0.8, 0.75, 0.7, 0.7), near=True),
}
PATIENTS = {"4 readers, 3 cases a patient": Population(EVEN, ((0.95, 0.6),) * 4, per_patient=3)}
GRADED = {name: population for name, population in {**TWO, **SEVERAL}.items() if population.near}
CROSSED = {
    "3 readers": Effects((1, 0.4, 0.7), 3),
    "3 readers who differ much": Effects((1, 1, 0.7), 3),
    "5 readers": Effects((1, 0.4, 0.7), 5),
}
ALIKE = {"3 readers, 3 cases a patient": Effects((1, 0.4, 0.7), 3, per_patient=3)}
NESTED = {
    "4 readers a case": Effects((1, 0.4, 0.7), 4, nested=True),
    "1 to 4 readers a case": Effects((1, 0.4, 0.7), 4, nested=True, ragged=True),
}
FIVE = (0, 1, 2, 3, 4)
# (the statistic, its row in the table, its truth in a population, which populations)
QUESTIONS = [
    (CohenKappa(), "Cohen's kappa", lambda p: kappa(p, "own"), TWO),
    (CohenKappa(weights="quadratic", categories=FIVE), "Cohen's kappa (quadratic weights)",
     lambda p: kappa(p, "own", "quadratic"), {"2 readers, 5 grades": TWO["2 readers, 5 grades"]}),
    (FleissKappa(), "Fleiss' kappa", lambda p: kappa(p, "shared"), {**SEVERAL, **PATIENTS}),
    (CongerKappa(), "Conger's kappa", lambda p: kappa(p, "own"), SEVERAL),
    (LightKappa(), "Light's kappa", light, SEVERAL),
    (GwetAC(), "Gwet's AC1", lambda p: kappa(p, "ac"), {**TWO, **SEVERAL, **PATIENTS}),
    (GwetAC(weights="quadratic", categories=FIVE), "Gwet's AC2 (quadratic weights)",
     lambda p: kappa(p, "ac", "quadratic"), GRADED),
    (BrennanPrediger(categories=FIVE), "Brennan-Prediger kappa", lambda p: kappa(p, "even"), GRADED),
    (KrippendorffAlpha(), "Krippendorff's alpha (nominal metric)", lambda p: alpha(p, "nominal"),
     {**TWO, **SEVERAL, **PATIENTS}),
    (KrippendorffAlpha(metric="ordinal"), "Krippendorff's alpha (ordinal metric)",
     lambda p: alpha(p, "ordinal"), GRADED),
    (KrippendorffAlpha(metric="interval"), "Krippendorff's alpha (interval metric)",
     lambda p: alpha(p, "interval"), GRADED),
    (Icc(), "ICC(1,1)", lambda e: e.icc(), NESTED),
    (Icc(), "ICC(2,1)", lambda e: e.icc(), {**CROSSED, **ALIKE}),
    (Icc(interval="shrout_fleiss"), "ICC(2,1)", lambda e: e.icc(), CROSSED),
    (Icc(), "ICC(3,1)", lambda e: e.icc(consistency=True), {**CROSSED, **ALIKE}),
    (Icc(), "ICC(2,k)", lambda e: e.icc(k=e.readers), CROSSED),
    (Icc(), "ICC(3,k)", lambda e: e.icc(consistency=True, k=e.readers), CROSSED),
]  # fmt: skip


def intervals(statistic, name, population, n, repeats=REPEATS, seed=0):
    """The interval of the row `name` in each repeat, (repeats, 2); NaN where there is none."""
    found = []
    for repeat in range(repeats):
        told = statistic(population.drawn(n, np.random.default_rng((seed, n, repeat))))
        found.append(told.loc[told["statistic"] == name, ["low", "high"]].iloc[0])
    return np.array(found)


def holds(found, truth):
    """The share of the intervals that are there which hold the truth."""
    found = found[~np.isnan(found[:, 0])]
    return ((found[:, 0] <= truth) & (truth <= found[:, 1])).mean()


def main():
    """Print the table; always 0, for the table itself says what holds."""
    print("| statistic | population | truth | n | holds the truth | 92-98 % | without interval |")
    print("|---|---|---|---|---|---|---|")
    for statistic, name, truth_of, populations in QUESTIONS:
        label = f"{name}, Shrout-Fleiss" if statistic == Icc(interval="shrout_fleiss") else name
        for who, population in populations.items():
            truth = truth_of(population)
            for n in CASES:
                found = intervals(statistic, name, population, n)
                share, without = holds(found, truth), np.isnan(found[:, 0]).mean()
                within = "yes" if LOW <= share <= HIGH else "no"
                shares = f"{100 * share:.1f} % | {within} | {100 * without:.1f} %"
                print(f"| {label} | {who} | {truth:.3f} | {n} | {shares} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
