"""Has the candidate scored live rows beside production, enough of them, and seen the same?"""

from flows.common.gate_results import figure
from flows.promotion.gates.case import Material
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.version.shadows import shadowed

GATE = "shadowed"


def shadowed_enough(material: Material) -> GateFinding:
    """Scored enough live rows beside production (`promotion.min_shadow_*`), with few other alerts.

    Other alerts are few on at most `promotion.max_shadow_disagreement` of the rows. Too few rows so
    far make the version wait; too much disagreement refuses it.
    """
    policy, version = material.policy, material.stored.version
    if not policy.min_shadow_rows:
        return unmeasured("not asked for")
    if material.production is None:
        return unmeasured("no production model yet")
    total = shadowed(material.client, version, material.production)
    figures = (
        figure("shadowed rows", total.rows, at_least=policy.min_shadow_rows),
        figure("hours", total.hours, at_least=policy.min_shadow_hours),
        figure("disagreement", total.disagreement, at_most=policy.max_shadow_disagreement),
    )
    if total.rows < policy.min_shadow_rows or total.hours < policy.min_shadow_hours:
        note = (
            f"not enough yet: shadow it with `dagmm api {version.name} --shadow "
            f"{version.version}` or `dagmm score --shadow {version.version}`"
        )
        return GateFinding(False, note, figures[: 2 if total.rows else 1], waits=True)
    return GateFinding(total.disagreement <= policy.max_shadow_disagreement, figures=figures)
