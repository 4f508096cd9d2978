"""The offline bundle: all that a Raspberry Pi without a network needs, in one archive.

targets -> own wheel, wheels, Debian packages -> archive      `emopi bundle`, on a workstation
archive -> device/install.sh                                  on the Raspberry Pi
"""
