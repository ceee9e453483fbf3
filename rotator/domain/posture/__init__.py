"""What is not as it should be: rules, what they find, and what a person has said of it. Pure."""
