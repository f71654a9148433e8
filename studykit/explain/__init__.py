"""Explanations, one method a file; importing this room joins them to the catalogue."""

from studykit.explain.attention import Attention
from studykit.explain.class_evidence import ClassEvidence
from studykit.explain.edge_map import EdgeMap
from studykit.explain.explain import explain
from studykit.explain.explainer import Explainer, Explanation, key
from studykit.explain.grad_cam import GradCAM
from studykit.explain.grad_cam_plus_plus import GradCAMPlusPlus
from studykit.explain.gradient_x_input import GradientXInput
from studykit.explain.integrated_gradients import IntegratedGradients
from studykit.explain.kernel_shap import KernelShap
from studykit.explain.modality_shapley import ModalityShapley
from studykit.explain.occlusion import Occlusion
from studykit.explain.random_map import RandomMap
from studykit.explain.shapley_sampling import ShapleySampling
from studykit.explain.smooth_grad import SmoothGrad

__all__ = [
    "Attention", "ClassEvidence", "EdgeMap", "Explainer", "Explanation", "GradCAM", "GradCAMPlusPlus",
    "GradientXInput", "IntegratedGradients", "KernelShap", "ModalityShapley", "Occlusion", "RandomMap",
    "ShapleySampling", "SmoothGrad", "explain", "key",
]  # fmt: skip
