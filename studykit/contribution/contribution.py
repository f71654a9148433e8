"""How much of a model's answer hangs on each modality: the shares, their intervals, and what they are made
of.

    d_{k,l}  = answer without part l - answer          of case k, one number an output
    a_{k,i}  = sum over parts l of modality i, and over outputs, of |d_{k,l}|
    m_i      = mean over k of a_{k,i} / sum over modalities j of mean over k of a_{k,j}

Gapp C et al. What are you looking at? Modality contribution in multimodal medical deep learning methods.
arXiv:2503.01904, IJCARS 2025; algorithm 1 and the scripts' two other ways of adding up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from studykit.catalog import InputError, check_choice
from studykit.contribution.parts import Cut
from studykit.scores import draws

AGGREGATIONS = ("ratio_of_means", "mean_of_ratios", "per_class")
COLLAPSED = 0.95
NOTHING = "nothing moved: no part that was taken away changed this answer"


@dataclass(eq=False)
class Contribution:
    """What some cases' answers lose part by part.

    ids, groups: (N,) cases and their patients. outputs: (K,) names. differences: {modality: (N, h, K)}, the
    answer without the part less the answer; NaN where a sampled run did not ask. same: {modality: (N, h)
    bool}, parts that
    are what they would be filled with (or are not there), whose difference is 0 without asking. parts:
    {modality: (h,) names}. about: how it was made: parts, fill, output, seed. forwards: cases passed through
    the model (its fusion). encodings: {modality: cases passed through its encoder}. cuts: {modality: Cut},
    while in memory.
    """

    ids: list[str]
    groups: list[str]
    outputs: tuple[str, ...]
    differences: dict[str, np.ndarray]
    same: dict[str, np.ndarray]
    parts: dict[str, tuple[str, ...]]
    about: dict[str, Any]
    forwards: int = 0
    encodings: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, Cut] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, in the order in which they were given."""
        return tuple(self.differences)

    @cached_property
    def sizes(self) -> dict[str, np.ndarray]:
        """a: {modality: (N, K)}, the sum over parts of |difference|, scaled up where parts were sampled."""
        found = {}
        for name, d in self.differences.items():
            asked, there = self._asked(name)
            scale = np.divide(there, asked, out=np.ones(len(d)), where=asked > 0)
            found[name] = np.nansum(np.abs(d), axis=1) * scale[:, None]
        return found

    def _asked(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """How many of a case's parts were asked, and how many could change anything, (N,) each."""
        there = ~self.same[name]
        return (there & ~np.isnan(self.differences[name][..., 0])).sum(axis=1), there.sum(axis=1)

    @property
    def _stacked(self) -> np.ndarray:
        return np.stack(list(self.sizes.values()), axis=1)  # (N, modalities, K)

    def share(self, aggregation: str = "ratio_of_means") -> dict[str, float]:
        """m: {modality: share}, summing to 1; NaN where nothing moved.

        aggregation: "ratio_of_means" is algorithm 1; "mean_of_ratios" and "per_class" are what the authors'
        scripts do: the mean over cases of each case's shares, over all outputs or output by output.
        """
        weights = np.ones((1, len(self.ids)))
        return dict(
            zip(self.modalities, _shares(self._stacked, weights, aggregation)[0].tolist(), strict=True)
        )

    def per_class(self) -> pd.DataFrame:
        """Modalities x outputs: each output's own shares (ratio of means); NaN where nothing moved it."""
        mean = self._stacked.mean(axis=0)
        return pd.DataFrame(divided(mean, mean.sum(axis=0)), self.modalities, self.outputs)

    def per_case(self) -> pd.DataFrame:
        """Cases x modalities: each case's own shares; NaN where nothing moved."""
        sizes = self._stacked.sum(axis=2)
        shares = divided(sizes, sizes.sum(axis=1, keepdims=True))
        return pd.DataFrame(shares, pd.Index(self.ids, name="id"), self.modalities)

    def per_part(self, modality: str) -> pd.Series:
        """m_i^l by part: its share in the whole, so that a modality's parts sum to its share.

        Where parts were sampled, each is scaled by how often it was asked.
        """
        check_choice("modality", modality, self.modalities)
        d, there = self.differences[modality], ~self.same[modality]
        asked, all_there = self._asked(modality)
        scale = np.divide(all_there, asked, out=np.ones(len(d)), where=asked > 0)
        moved = np.where(there[..., None], np.abs(d), 0.0)
        size = np.nansum(moved, axis=2) * scale[:, None]  # (N, h)
        whole = self._stacked.sum(axis=(1, 2)).mean()
        return pd.Series(divided(size.mean(axis=0), whole), list(self.parts[modality]))

    def within(self, modality: str) -> pd.Series:
        """mp_i^l by part: its share inside its modality, summing to 1."""
        found = self.per_part(modality)
        return found / found.sum() if found.sum() > 0 else found * np.nan

    def case_parts(self, case: str, modality: str, output: str = "") -> pd.Series:
        """One case's parts: |difference| summed over outputs, or the signed difference of one output."""
        check_choice("modality", modality, self.modalities)
        check_choice("case", case, self.ids)
        d = self.differences[modality][self.ids.index(case)]
        if output:
            check_choice("output", output, self.outputs)
            return pd.Series(d[:, self.outputs.index(output)], list(self.parts[modality]))
        return pd.Series(np.abs(d).sum(axis=1), list(self.parts[modality]))

    def painted(self, modality: str, output: str = "") -> np.ndarray:
        """The parts painted back, (N, *shape or what broadcasts to it): as `case_parts`, 0 where no part
        is.
        """
        check_choice("modality", modality, self.modalities)
        if modality not in self.cuts:
            raise InputError(
                f"The cut of '{modality}' is not kept in a file; cut it again by studykit.contribution.cut."
            )
        values = np.stack([self.case_parts(case, modality, output) for case in self.ids])
        return painted(self.cuts[modality], values)

    def table(
        self,
        aggregation: str = "ratio_of_means",
        level: float = 0.95,
        resamples: int = 2000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Shares with intervals, over all outputs and for each: statistic, group, estimate, low, high, n,
        why.

        group is the modality. Patients are drawn with replacement, all cases of a patient together. Where
        parts were sampled, cases differ by what was drawn, too, so the interval holds both.
        """
        stacked, weights = self._stacked, draws(self.groups, resamples, seed)
        one = np.ones((1, len(self.ids)))
        tables = {"contribution": (stacked, aggregation)}
        if len(self.outputs) > 1:
            tables |= {
                f"contribution to {name}": (stacked[..., [k]], "ratio_of_means")
                for k, name in enumerate(self.outputs)
            }
        rows = []
        for statistic, (sizes, way) in tables.items():
            estimate, drawn = (_shares(sizes, w, way) for w in (one, weights))
            for at, name in enumerate(self.modalities):
                values = drawn[:, at][~np.isnan(drawn[:, at])]
                low, high = _interval(values, level) if len(set(self.groups)) > 1 else (np.nan, np.nan)
                why = "" if not np.isnan(estimate[0, at]) else NOTHING
                if not why and np.isnan(low):
                    why = "all cases are of one patient; an interval needs two"
                row = {"statistic": statistic, "group": name, "estimate": estimate[0, at]}
                rows.append({**row, "low": low, "high": high, "n": len(self.ids), "why": why})
        return pd.DataFrame(rows)

    def collapse(self, threshold: float = COLLAPSED, **settings: Any) -> str:
        """The modality that alone decides, or "": its share's whole interval lies above the threshold.

        Where no interval can be had, its share does. settings: as `table` takes them.
        """
        table = self.table(**settings)
        table = table[table["statistic"] == "contribution"]
        above = table["low"].fillna(table["estimate"]) > threshold
        return str(table.loc[above, "group"].iloc[0]) if above.any() and len(table) > 1 else ""

    def sampling_error(self) -> dict[str, float]:
        """{modality: standard error of its share that comes of sampling parts}; 0 where all were asked.

        var D_i = 1/N^2 sum_k h^2/n (1 - n/h) s^2 over the cases, n of whose h parts were asked; the share's
        by the delta method.
        """
        mean, variance, _ = self._sampled()
        whole = mean.sum()
        if not whole > 0:
            return dict.fromkeys(self.modalities, float("nan"))
        share = mean / whole
        own = (1 - share) ** 2 * variance + share**2 * (variance.sum() - variance)
        return dict(zip(self.modalities, (np.sqrt(own) / whole).tolist(), strict=True))

    def sampling_interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """{modality: interval of what all parts of these cases would give}, symmetric in the share's log
        odds; 0 to 1 where a modality's parts were not all asked and none of those asked moved anything.

        log odds -+ 2 asinh(t e / 2), with e their standard error: where few parts carry all, the variance
        goes with the size itself, and |log r| <= 2 asinh(c) is (1 - r)^2 <= 4 c^2 r. t is Student's with
        2 V^2 / var V degrees of freedom (Satterthwaite), as the variance V comes of the parts that were hit.
        It holds what it says where five or more parts that carry the evidence are hit over all cases (ten,
        where some cases move by far more than others); no interval knows of parts that were never hit.
        """
        mean, variance, doubt = self._sampled()
        asked = {name: self._asked(name) for name in self.modalities}
        unseen = any(not self.sizes[name].any() and (n < there).any() for name, (n, there) in asked.items())
        found = {}
        for at, (name, share) in enumerate(self.share().items()):
            own, rest = mean[at], mean.sum() - mean[at]
            if not (own > 0 and rest > 0 and variance.sum() > 0):
                found[name] = (0.0, 1.0) if unseen and share in (0, 1) else (share, share)
                continue
            error = variance[at] / own**2 + (variance.sum() - variance[at]) / rest**2
            its = doubt[at] / own**4 + (doubt.sum() - doubt[at]) / rest**4
            wide = student.ppf(0.5 + level / 2, 2 * error**2 / its) * np.sqrt(error)
            middle, half = np.log(own / rest), 2 * np.arcsinh(wide / 2)
            found[name] = tuple(float(1 / (1 + np.exp(-(middle + side * half)))) for side in (-1, 1))
        return found

    def _sampled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each modality's mean size over the cases, its variance by sampling, and the variance of that.

        The last by how unlike the cases' variances are, or what n parts leave open where that is more.
        """
        cases, variance, doubt = len(self.ids), [], []
        for name, d in self.differences.items():
            asked, there = self._asked(name)
            few = asked < there
            n, h = asked[few], there[few]
            if (n < 2).any():
                raise InputError(
                    f"One part of '{name}' was asked of a case; an error can be told from two on."
                )
            size = np.where(self.same[name], np.nan, np.abs(d).sum(axis=2))[few]  # NaN where not asked
            each = h**2 / n * (1 - n / h) * np.nanvar(size, axis=1, ddof=1)
            between = len(each) * each.var(ddof=1) if len(each) > 1 else 0.0
            variance.append(each.sum() / cases**2)
            doubt.append(max(between, (2 * each**2 / (n - 1)).sum()) / cases**4)
        mean = [size.sum(axis=1).mean() for size in self.sizes.values()]
        return np.array(mean), np.array(variance), np.array(doubt)

    def to_frame(self) -> pd.DataFrame:
        """One row a case, modality, part and output: id, group, modality, part, output, difference, same."""
        frames = []
        for name, d in self.differences.items():
            cases, parts, outputs = d.shape
            frames.append(
                pd.DataFrame(
                    {
                        "id": np.repeat(self.ids, parts * outputs),
                        "group": np.repeat(self.groups, parts * outputs),
                        "modality": name,
                        "part": np.tile(np.repeat(np.array(self.parts[name], dtype=object), outputs), cases),
                        "output": np.tile(np.array(self.outputs, dtype=object), cases * parts),
                        "difference": d.reshape(-1),
                        "same": np.repeat(self.same[name].reshape(-1), outputs),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, about: Mapping[str, Any]) -> "Contribution":
        """What `to_frame` wrote."""
        first = frame.drop_duplicates("id")
        ids, outputs = first["id"].tolist(), tuple(frame["output"].unique())
        differences, same, parts = {}, {}, {}
        for name, rows in frame.groupby("modality", sort=False):
            parts[name] = tuple(rows["part"].iloc[: len(rows) // len(ids) : len(outputs)])
            shape = (len(ids), len(parts[name]), len(outputs))
            differences[name] = rows["difference"].to_numpy().reshape(shape)
            same[name] = rows["same"].to_numpy(dtype=bool).reshape(shape)[..., 0]
        return cls(ids, first["group"].tolist(), outputs, differences, same, parts, dict(about))


def joined(found: Sequence[Contribution]) -> Contribution:
    """Several cases' contributions, made alike, as one.

    A part that some have not (a word behind a text's end) is one that is not there. A case that several hold
    (a case without a label is looked at in every fold) counts once, as the first of them tells.
    """
    first, ids, keep = found[0], [], []
    for one in found:
        known = set(ids)
        keep.append([at for at, case in enumerate(one.ids) if case not in known])
        ids += [one.ids[at] for at in keep[-1]]
    differences, same, parts = {}, {}, {}
    for name in first.modalities:
        parts[name] = tuple(dict.fromkeys(part for one in found for part in one.parts[name]))
        placed = [_placed(one, name, parts[name]) for one in found]
        differences[name] = np.concatenate([d[at] for (d, _), at in zip(placed, keep, strict=True)])
        same[name] = np.concatenate([s[at] for (_, s), at in zip(placed, keep, strict=True)])
    return Contribution(
        ids,
        [one.groups[k] for one, at in zip(found, keep, strict=True) for k in at],
        first.outputs,
        differences,
        same,
        parts,
        first.about,
        sum(one.forwards for one in found),
        {name: sum(one.encodings[name] for one in found) for name in first.encodings},
    )


def painted(cut: Cut, values: np.ndarray) -> np.ndarray:
    """Values of parts (N, h) at the places of a cut, (N, *what the cut's map is); 0 where no part is."""
    ids = cut.ids.cpu().numpy()
    ids = np.broadcast_to(ids, (len(values), *ids.shape[1:]))
    at = np.maximum(ids, 0).reshape(len(values), -1)
    found = np.take_along_axis(values, at, axis=1).reshape(ids.shape)
    return np.where(ids < 0, 0.0, found)


def _placed(one: Contribution, name: str, parts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """One modality's differences and what is the same, with its parts at the places of `parts`."""
    at = [parts.index(part) for part in one.parts[name]]
    d = np.zeros((len(one.ids), len(parts), len(one.outputs)))
    same = np.ones((len(one.ids), len(parts)), dtype=bool)
    d[:, at], same[:, at] = one.differences[name], one.same[name]
    return d, same


def _shares(sizes: np.ndarray, weights: np.ndarray, aggregation: str) -> np.ndarray:
    """Shares (R, modalities) of sizes (N, modalities, K) under R weightings of the cases (R, N)."""
    check_choice("aggregation", aggregation, AGGREGATIONS)
    if aggregation == "ratio_of_means":
        mean = weights @ sizes.sum(axis=2)
        return divided(mean, mean.sum(axis=1, keepdims=True))
    if aggregation == "mean_of_ratios":
        sizes = sizes.sum(axis=2, keepdims=True)
    ratios = divided(sizes, sizes.sum(axis=1, keepdims=True))  # (N, modalities, K)
    known = ~np.isnan(ratios)
    sums = np.einsum("rn,nmk->rmk", weights, np.where(known, ratios, 0.0))
    counts = np.einsum("rn,nmk->rmk", weights, known.astype(float))
    means = divided(sums, counts)  # (R, modalities, K)
    known = ~np.isnan(means)
    mean = divided(np.where(known, means, 0.0).sum(axis=2), known.sum(axis=2))
    return divided(mean, mean.sum(axis=1, keepdims=True))


def divided(part: np.ndarray, whole: Any) -> np.ndarray:
    """Part / whole, NaN where the whole is nothing."""
    whole = np.broadcast_to(np.asarray(whole, dtype=float), np.shape(part))
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    if not len(values):
        return np.nan, np.nan
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
