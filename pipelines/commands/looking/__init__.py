"""Commands about what there is: data to begin with, what a store holds, two results side by side, a report's page."""
