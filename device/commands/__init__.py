"""The commands of the device, one file each.

shared.py, source_options.py, sink_options.py   what several of them take
listed.py                                       what `emopi --help` says of every command
"""
