"""The pure core: words, rules and tables of rotation. No input, output, clock or dice."""
