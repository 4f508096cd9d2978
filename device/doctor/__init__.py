"""What is wrong with a sensor, and what to do about it: `emopi doctor`."""
