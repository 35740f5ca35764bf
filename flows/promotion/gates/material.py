"""What the gates judge a version by; each looks only at what it `needs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.common.policy import PromotionPolicy
from flows.promotion.gates.case import Case

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from flows.promotion.served import Server
    from flows.promotion.version.stored_version import StoredVersion


@dataclass(frozen=True)
class Material:
    """Everything at hand.

    Attributes:
        policy: Floors and margins.
        client: Registry.
        stored: The candidate as it lies in the stores.
        production: Version that is in production, or None.
        case: The candidate's energies; None when its files are not those of the evidence.
        release: Whether a person releases a held model with this decision.
        server: The candidate being served; None when the policy switched that off.
    """

    policy: PromotionPolicy
    client: MlflowClient
    stored: StoredVersion
    production: int | None
    case: Case | None = None
    release: bool = False
    server: Server | None = None
