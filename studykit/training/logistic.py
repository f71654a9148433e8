"""Logistic regression on the record: what a model with pictures must beat to have been worth it."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

NAME = "logistic regression on the record"


def logistic_probabilities(
    train: np.ndarray, truth: np.ndarray, groups: list[str], test: np.ndarray, classes: int
) -> np.ndarray:
    """Probabilities (N, classes) for the rows `test`, learned from `train` (B, F).

    truth: (B,) class indices, NaN where unlabelled. The penalty is chosen inside the training cases by
    grouped cross-validation; classes count alike.
    """
    known = ~np.isnan(truth)
    seen = truth[known].astype(int)
    patients = [len(set(np.asarray(groups)[known][seen == one])) for one in np.unique(seen)]
    plain = LogisticRegression(class_weight="balanced", max_iter=2000)
    search = GridSearchCV(
        plain,
        {"C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]},
        scoring="neg_log_loss",
        cv=StratifiedGroupKFold(min(5, *patients), shuffle=True, random_state=0),
    )
    search.fit(train[known], seen, groups=np.asarray(groups)[known])
    p = np.zeros((len(test), classes))
    p[:, search.classes_] = search.predict_proba(test)
    return p
