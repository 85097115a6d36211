"""Each guard, the line that holds it, how it is broken, and the test that must see it."""

from verification.mutant_lists.approvals import APPROVALS
from verification.mutant_lists.arguments import ARGUMENTS
from verification.mutant_lists.cohorts import COHORTS
from verification.mutant_lists.evidence import EVIDENCE
from verification.mutant_lists.fences import FENCES
from verification.mutant_lists.fleet_limiter import FLEET_LIMITER
from verification.mutant_lists.folders import FOLDERS
from verification.mutant_lists.inputs import INPUTS
from verification.mutant_lists.keys import KEYS
from verification.mutant_lists.ledgers import LEDGERS
from verification.mutant_lists.limiter import LIMITER
from verification.mutant_lists.loops import LOOPS
from verification.mutant_lists.mutant import Mutant
from verification.mutant_lists.places import PLACES
from verification.mutant_lists.plans import PLANS
from verification.mutant_lists.purchases import PURCHASES
from verification.mutant_lists.reservations import RESERVATIONS
from verification.mutant_lists.rules import RULES_OF_MONEY
from verification.mutant_lists.sandboxes import SANDBOXES
from verification.mutant_lists.scale import SCALE
from verification.mutant_lists.secrets import SECRETS
from verification.mutant_lists.stops import STOPS
from verification.mutant_lists.subscriptions import SUBSCRIPTIONS
from verification.mutant_lists.texts import TEXTS
from verification.mutant_lists.waits import WAITS

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = (
    *FENCES,
    *PURCHASES,
    *COHORTS,
    *STOPS,
    *SUBSCRIPTIONS,
    *SCALE,
    *LIMITER,
    *FLEET_LIMITER,
    *LEDGERS,
    *EVIDENCE,
    *PLACES,
    *LOOPS,
    *TEXTS,
    *ARGUMENTS,
    *SECRETS,
    *SANDBOXES,
    *INPUTS,
    *FOLDERS,
    *RULES_OF_MONEY,
    *APPROVALS,
    *RESERVATIONS,
    *PLANS,
    *KEYS,
    *WAITS,
)
