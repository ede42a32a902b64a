"""The levels of the contract, the lowest first."""

from typing import Literal, get_args

Level = Literal["specified", "documented", "advisory"]
LEVELS: tuple[Level, ...] = get_args(Level)
