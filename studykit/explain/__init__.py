"""Explanations, one method a file; importing this room joins them to the catalogue."""

from studykit.explain.explain import explain
from studykit.explain.explainer import Explainer, Explanation, key
from studykit.explain.grad_cam import GradCAM
from studykit.explain.integrated_gradients import IntegratedGradients

__all__ = ["Explainer", "Explanation", "GradCAM", "IntegratedGradients", "explain", "key"]
