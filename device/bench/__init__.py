"""How fast models are on this machine: `emopi bench`.

measure (processes) -> run (in each of them) -> measured -> text, report, compare
"""
