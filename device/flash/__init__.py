"""The card of a Raspberry Pi, prepared so that it becomes an emopi sensor on its first boot.

    partition -> system -> settings -> files -> apply

`partition` reads and writes the card, `system` says what is on it, `card_settings` and
`credentials` what is wanted, `cloud_init` (Trixie) and `first_run` (Bookworm) which files say so,
`plan` what changes, and `apply` changes it, or puts it back.
"""
