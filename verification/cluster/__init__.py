"""A cluster on one machine: nodes that are lost like machines, scenarios, and the books of each."""
