"""Commands about what there is: data to begin with, what a store holds, results side by side, a page, metrics."""
