"""Each guard, the line that holds it, how it is broken, and the test that must see it."""

from scripts.mutant_lists.mutant import Mutant
from scripts.mutant_lists.places import PLACES
from scripts.mutant_lists.purchases import PURCHASES
from scripts.mutant_lists.scale import SCALE
from scripts.mutant_lists.subscriptions import SUBSCRIPTIONS

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = PURCHASES + SUBSCRIPTIONS + SCALE + PLACES
