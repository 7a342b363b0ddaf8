"""From a study to its cells: the product of the axes, edited by the rules in their order."""
