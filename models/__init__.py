"""The trained models that emopi ships, with their cards, and a recording to try them on."""
