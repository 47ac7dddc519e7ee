"""How many components: candidates, the criteria that rank them, and what they say together."""
