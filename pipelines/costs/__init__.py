"""What a run asks of nodes and money: estimated before it starts, and held to while it runs."""
