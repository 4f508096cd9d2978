"""Training on a workstation: corpus -> features -> fit -> score. Imports `emopi.device`."""
