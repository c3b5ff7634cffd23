"""Long sequences over several processes: whose tokens are whose, and how each one's attention sees the others'."""
