"""The embedded demo study: three models on one cohort of drawn cases, one fold each."""

COHORT = {"name": "breast_phantom", "count": 400}
BOTH = ["integrated_gradients", "grad_cam"]

RECIPES = (
    {
        "name": "fusion of image and record",
        "dataset": COHORT,
        "model": {"name": "concat"},
        "explain": BOTH,
        "contributions": {"parts": {"image": 16}},
    },
    {"name": "image alone", "dataset": COHORT, "model": {"name": "alone"}, "explain": BOTH},
    {
        "name": "record alone",
        "dataset": COHORT,
        "model": {"name": "alone", "modality": "record"},
        "explain": BOTH[:1],
    },
)
for recipe in RECIPES:
    recipe["only"] = [0]
