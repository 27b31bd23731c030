"""The file: reads TOML into services, says where anything is wrong, and keeps the API equal to it.

Promises: every problem has its file, line, column and dotted path, and all of them are told at once; hostile text,
pipes and devices cost a message and no more; nothing is deleted because something could not be read; what the file
says last is what is applied, however often the API is away in between.
May import: proto, and the errors, the clock and the metrics of this program; it is a client of the API.
"""

from .agent import ConfigAgent, Report, connect
from .config import Config, read_config
from .problem import ConfigError, Position, Problem, Unreadable

__all__ = [
    "Config",
    "ConfigAgent",
    "ConfigError",
    "Position",
    "Problem",
    "Report",
    "Unreadable",
    "connect",
    "read_config",
]
