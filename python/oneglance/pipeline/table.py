"""The steps, in their order."""

from __future__ import annotations

from .steps import adapt, audit, embed, evaluate, labels, pretrain, select, sensitivity
from .steps.base import Step

STEPS: tuple[Step, ...] = (
    audit.AUDIT,
    pretrain.STEP,
    embed.STEP,
    audit.AUDIT_FEATURES,
    select.STEP,
    labels.STEP,
    adapt.STEP,
    evaluate.STEP,
    sensitivity.STEP,
)
NAMES = tuple(step.name for step in STEPS)
