"""The HTML report: sections say what there is to show, the page shows it."""
