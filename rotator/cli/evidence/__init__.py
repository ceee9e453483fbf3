"""`rotator report`: the evidence of a period as a page, as JSON, as CSV."""
