"""Each guard, the line that holds it, how it is broken, and the test that must see it."""

from scripts.mutant_lists.arguments import ARGUMENTS
from scripts.mutant_lists.evidence import EVIDENCE
from scripts.mutant_lists.fences import FENCES
from scripts.mutant_lists.inputs import INPUTS
from scripts.mutant_lists.limiter import LIMITER
from scripts.mutant_lists.loops import LOOPS
from scripts.mutant_lists.mutant import Mutant
from scripts.mutant_lists.places import PLACES
from scripts.mutant_lists.purchases import PURCHASES
from scripts.mutant_lists.sandboxes import SANDBOXES
from scripts.mutant_lists.scale import SCALE
from scripts.mutant_lists.secrets import SECRETS
from scripts.mutant_lists.subscriptions import SUBSCRIPTIONS
from scripts.mutant_lists.texts import TEXTS

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = (
    *FENCES,
    *PURCHASES,
    *SUBSCRIPTIONS,
    *SCALE,
    *LIMITER,
    *EVIDENCE,
    *PLACES,
    *LOOPS,
    *TEXTS,
    *ARGUMENTS,
    *SECRETS,
    *SANDBOXES,
    *INPUTS,
)
